use super::*;

/// Whether Go says that `pattern` matches `text`; what it refuses matches nothing.
fn matches(pattern: &str, text: &str) -> bool {
    Pattern::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

#[test]
fn patterns_mean_what_they_mean_in_go() {
    for (pattern, text, expected) in [
        ("web", "my-web-0", true),
        ("^web$", "my-web-0", false),
        ("^web", "web-0", true),
        ("a(?i)*", "", true),
        ("a(?i)b", "aB", true),
        ("a(?i)b", "Ab", false),
        ("(?:a(?i)b)c", "aBC", false),
        ("(?i)[k]", "\u{212a}", true),
        ("(?i)\\w", "\u{212a}", true),
        ("(?i)\\W", "\u{212a}", false),
        ("(?i)[[:upper:]]", "a", true),
        ("(?i)[[:^upper:]]", "a", false),
        ("(?i)[^k]", "K", false),
        ("(?i)\\p{Lu}", "a", true),
        ("[^a]", "\n", true),
        ("[a\\d]+$", "7a", true),
        ("[\\D]", "7", false),
        ("[[:^alpha:]\\pL]", "a", true),
        ("[a-\\x{7a}]", "q", true),
        ("[\\Q]\\E]", "", false),
        ("x{2,3}?y", "xxy", true),
        ("(a|b|)c", "c", true),
        ("\\Qa|b", "a|b", true),
        ("\\Q\\E", "", true),
        ("a{0}", "b", true),
        ("{1}", "{1}", false),
        ("a{01}", "a{01}", true),
        ("\\p{^Greek}", "β", false),
        ("\\P{Greek}", "β", false),
        ("(?s).", "\n", true),
        ("\\377", "ÿ", true),
        ("\\08", "\0", false),
        ("(?)a", "a", true),
        ("(?-s)a.b", "a\nb", false),
        ("é{2}", "éé", true),
        ("\\Bé", "é", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
    }
}

#[test]
fn a_place_inside_of_a_character_is_none() {
    for (pattern, text, expected) in [
        ("\\B", "aéb", false),
        ("\\B\\B", "aéb", false),
        ("(?i)\\B+", "aéb", false),
        ("\\B", "ab", true),
        ("\\B", "éé", true),
        ("é\\B", "éé", true),
        ("\\p{Zl}", "\u{2028}", true),
        ("\\p{Zp}", "\u{2029}", true),
        ("\\x{0000000041}", "A", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
    for code in ["Latn", "Grek", "Hani", "Zyyy"] {
        assert!(Pattern::new(&format!("\\p{{{code}}}")).is_err(), "{code}");
    }
    for name in ["Latin", "Thai", "Newa", "Common"] {
        assert!(Pattern::new(&format!("\\p{{{name}}}")).is_ok(), "{name}");
    }
}

#[test]
fn what_go_refuses_is_refused_with_a_reason() {
    for (pattern, reason) in [
        ("*test*", "nothing to repeat before `*`"),
        ("a|*", "nothing to repeat before `*`"),
        ("(*)", "nothing to repeat before `*`"),
        ("(?i)+", "nothing to repeat before `+`"),
        ("{2}", "nothing to repeat before `{2}`"),
        ("a**", "`**` repeats a repetition"),
        ("a{2}{3}", "`{2}{3}` repeats a repetition"),
        ("a{1001}", "`{1001}` repeats more than 1000 times"),
        ("a{3,2}", "`{3,2}` repeats more than 1000 times"),
        ("(a{100}){100}", "`{100}` repeats more than 1000 times"),
        ("(a", "a `(` is not closed"),
        ("a)", "a `)` closes nothing"),
        ("[a", "a `[` is not closed"),
        ("[z-a]", "`z-a` is no class or range of characters"),
        (
            "[[:nope:]]",
            "`[:nope:]` is no class or range of characters",
        ),
        (
            "\\p{greek}",
            "`\\p{greek}` is no class or range of characters",
        ),
        (
            "(?!a)",
            "`(?!a` is not supported: RE2 has no look-around, and of flags only i, m, s and U",
        ),
        (
            "(?<=a)b",
            "`(?<=a)b` is not supported: RE2 has no look-around, and of flags only i, m, s and U",
        ),
        (
            "(?i-)a",
            "`(?i-` is not supported: RE2 has no look-around, and of flags only i, m, s and U",
        ),
        ("\\1", "`\\1` is no escape"),
        ("a\\", "`\\` is no escape"),
        ("\\x{110000}", "`\\x` is no escape"),
    ] {
        assert_eq!(
            Pattern::new(pattern).unwrap_err().to_string(),
            reason,
            "{pattern}"
        );
    }
    assert_eq!(
        Pattern::new(&"(".repeat(2000)).unwrap_err(),
        PatternError::TooLarge
    );
    assert_eq!(
        Pattern::new(&"a".repeat(MAX_LENGTH + 1)).unwrap_err(),
        PatternError::TooLarge
    );
}

proptest::proptest! {
    #[test]
    fn no_pattern_is_too_odd(pattern in "[a-c()\\[\\]{}*+?|^$.\\\\:<>PQEpdwsbxi0-9,&~é-]{0,40}", text: String) {
        if let Ok(pattern) = Pattern::new(&pattern) {
            pattern.is_match(&text);
        }
    }

    /// What is translated is never refused by the engine behind it: it would be refused for reasons that are not Go's.
    #[test]
    fn what_go_takes_is_taken(pattern in "x([a-c]|[.]|\\\\[dDwWsS]|\\[[a-c^]?[x-z]\\]|\\(\\?i\\)){1,12}[*+?]?") {
        assert!(Pattern::new(&pattern).is_ok(), "{pattern}");
    }
}
