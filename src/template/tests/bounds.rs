//! Whatever the template and the event: no panic, no running away.

use proptest::prelude::*;

use super::*;

fn failure(template: &str) -> String {
    let template = Template::parse(&located(template)).unwrap();
    match template.render(&Event::default()).unwrap_err() {
        RenderError::Template(problem) => problem.message,
        error @ RenderError::Json(_) => panic!("{error}"),
    }
}

#[test]
fn what_runs_away_is_stopped() {
    for template in [
        // Time.
        "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}",
        "{{ range 9223372036854775807 }}{{ end }}",
        "{{ define \"t\" }}{{ range 9 }}{{ template \"t\" }}{{ end }}{{ end }}{{ template \"t\" }}",
        // Output.
        "{{ range 500000 }}0123456789012345678901234567890123456789{{ end }}",
        "{{ $s := repeat 1000 \"0123456789\" }}{{ range 100000 }}{{ $s }}{{ end }}",
        "{{ repeat 1000000000000 \"x\" }}",
        "{{ printf \"%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d\" 1 2 3 4 5 6 7 8 9 }}",
        "{{ $s := \"x\" }}{{ range 100 }}{{ $s = print $s $s }}{{ end }}",
        "{{ indent 100000000 \"a\" }}",
        "{{ seq 1 100000000 }}",
        "{{ until 100000000 }}",
        "{{ regexReplaceAll \"x+\" (repeat 1000000 \"x\") (repeat 100000 \"$0\") }}",
        "{{ regexReplaceAll \"x\" (repeat 1000000 \"x\") (repeat 100 \"y\") }}",
        "{{ split \",\" (repeat 8000000 \",\") | len }}",
        // What would be nothing in place of what is too much.
        "{{ toJson (list (repeat 5000000 \"x\") (repeat 5000000 \"x\")) }}",
        "{{ toJson (fromJson (print (repeat 200 \"[\") (repeat 200 \"]\"))) }}",
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ toJson $d }}",
        // Searches that read far beyond what they find.
        "{{ regexReplaceAll \"\\\\(.*\\\\)|\\\\(\" (repeat 200000 \"(\") \"\" }}",
        "{{ regexFindAll \"x\" (repeat 8000000 \"x\") -1 }}",
        "{{ range $i := until 200 }}{{ regexMatch (printf \"%d(\\\\pL{90}){3}\" $i) \"x\" }}{{ end }}",
        "{{ $s := split \",\" (repeat 1000000 \"x\") }}{{ range until 20000 }}{{ $x := deepEqual $s (split \",\" $s._0) }}{{ end }}",
        // Depth.
        "{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}",
        "{{ $l := list }}{{ range 1000 }}{{ $l = list $l }}{{ end }}",
        // What doubles.
        "{{ $l := list 1 }}{{ range 90 }}{{ $l = list $l $l }}{{ end }}{{ $l }}",
        "{{ $l := list 1 }}{{ range 90 }}{{ $l = list $l $l }}{{ end }}{{ toJson $l | len }}{{ deepCopy $l }}",
        "{{ $a := list 1 }}{{ $b := list 1 }}{{ range 90 }}{{ $a = list $a $a }}{{ $b = list $b $b }}{{ end }}{{ deepEqual $a $b }}",
        // What holds itself.
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ $d }}",
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ mustToJson $d }}",
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ deepCopy $d }}",
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ $e := dict }}{{ $_ := set $e \"d\" $e }}{{ deepEqual $d $e }}",
    ] {
        let message = failure(template);
        assert!(
            [
                "too long",
                "too deeply",
                "too much",
                "too large",
                "holds itself"
            ]
            .iter()
            .any(|limit| message.contains(limit)),
            "{template}: {message}"
        );
    }
}

#[test]
fn what_is_only_long_is_rendered() {
    for (template, length) in [
        (
            "{{ toJson (split \",\" (repeat 2600 \"abcdefgh,\")) }}",
            48_302,
        ),
        (
            "{{ splitList \",\" (repeat 3000 \"abcdefghij,\") | toJson }}",
            39_004,
        ),
        ("{{ range until 20000 }}x{{ end }}", 20_000),
        ("{{ range until 3000 }}{{ . }}, {{ end }}", 16_890),
        (
            "{{ trimAll (print (repeat 2000 \"a\") \"b\") (repeat 200000 \"b\") }}",
            0,
        ),
        (
            "{{ printf \"%.70000f|%.70000e|%.70000g|%.70000x|%.70000U|%#.70000g|%70000d\" 1.5 1.5 1.5 1.5 1 1.5 1 }}",
            420_028,
        ),
        (
            "{{ regexReplaceAll \"\\\\s+\" (repeat 1000 \"a b \") \"-\" }}",
            4_000,
        ),
    ] {
        let parsed = Template::parse(&located(template)).unwrap();
        let rendered = parsed.render(&Event::default());
        assert_eq!(rendered.unwrap().len(), length, "{template}");
    }
}

#[test]
fn whatever_calls_whatever_is_read_once() {
    let chain = (0..20_000).map(|at| {
        let next = at + 1;
        format!("{{{{ define \"t{at}\" }}}}{{{{ template \"t{next}\" . }}}}{{{{ end }}}}")
    });
    let chain = chain.collect::<String>() + "{{ template \"t0\" . }}";
    assert!(!Template::parse(&located(&chain)).unwrap().reads_object());
    let twice = (0..40).map(|at| {
        let next = at + 1;
        format!("{{{{ define \"t{at}\" }}}}{{{{ template \"t{next}\" . }}}}{{{{ template \"t{next}\" . }}}}{{{{ end }}}}")
    });
    let twice = twice.collect::<String>() + "{{ template \"t0\" . }}";
    assert!(!Template::parse(&located(&twice)).unwrap().reads_object());
}

#[test]
fn deep_nesting_is_refused_at_load_or_stopped_before_the_stack_is_used_up() {
    let deep = 5_000;
    for template in [
        format!("{{{{ {}1{} }}}}", "(".repeat(deep), ")".repeat(deep)),
        "{{ if true }}".repeat(deep) + &"{{ end }}".repeat(deep),
        "{{ if true }}a{{ else if true }}".repeat(deep) + "{{ end }}",
        "{{ define \"t\" }}{{ end }}".repeat(deep),
        format!("{{{{ .a{} }}}}", ".a".repeat(deep)),
        format!("{{{{ 1{} }}}}", " | print".repeat(deep)),
    ] {
        if let Ok(template) = Template::parse(&located(&template)) {
            let _ = template.render(&Event::default());
        }
    }
    // As deep as it may be, in templates that are as deep as they may be.
    let body = "{{ if true }}{{ with (((((print 1))))) }}".repeat(40)
        + "{{ template \"t\" }}"
        + &"{{ end }}{{ end }}".repeat(40);
    let template = format!("{{{{ define \"t\" }}}}{body}{{{{ end }}}}{{{{ template \"t\" }}}}");
    assert!(failure(&template).contains("too deeply"));
}

/// Pieces of templates: those of the vectors, and what they are made of.
fn pieces() -> Vec<String> {
    let mut pieces: Vec<String> =
        rows::<Row>(include_str!("../../../tests/vectors/templates-more.yaml"))
            .into_iter()
            .map(|row| row.template)
            .collect();
    let tokens = [
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        "|",
        "(",
        ")",
        "\"",
        "`",
        "'",
        ".",
        "$",
        "$x",
        ":=",
        "=",
        ",",
        "if",
        "else",
        "end",
        "range",
        "with",
        "define",
        "template",
        "block",
        "break",
        "continue",
        "nil",
        "0x",
        "1e",
        "/*",
        "*/",
        "\n",
        "\\",
        "é",
        "\u{feff}",
        "%!",
        "-9223372036854775808",
    ];
    pieces.extend(tokens.map(str::to_owned));
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn fault_39_no_template_panics_or_runs_away(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<u16>(), any::<u16>()), 1..5),
        event in any::<prop::sample::Index>(),
    ) {
        thread_local! {
            static MATERIAL: (Vec<String>, Vec<Event>) = (pieces(), recorded().into_values().collect());
        }
        MATERIAL.with(|(pieces, events)| {
            let mut text = String::new();
            for (pick, from, to) in picks {
                let piece = pick.get(pieces);
                let at = |at: u16| piece.floor_char_boundary(usize::from(at) % (piece.len() + 1));
                let (from, to) = (at(from), at(to));
                text.push_str(if from < to { &piece[from..to] } else { piece });
            }
            if let Ok(template) = Template::parse(&located(&text)) {
                let _ = template.reads_object();
                let _ = template.render(event.get(events));
            }
        });
    }
}
