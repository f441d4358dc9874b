//! Strings and characters in quotes, as Go's `strconv` writes them.

use super::super::runes::is_printable;

/// A string as a Go literal; with `raw`, in backquotes where it can be; with `ascii`, without any character beyond ASCII.
pub(in super::super) fn string(text: &[u8], raw: bool, ascii: bool) -> String {
    if raw && let Some(text) = can_backquote(text) {
        return format!("`{text}`");
    }
    let mut quoted = String::from('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            escape(c, '"', ascii, &mut quoted);
        }
        for byte in chunk.invalid() {
            quoted.push_str(&format!("\\x{byte:02x}"));
        }
    }
    quoted.push('"');
    quoted
}

/// A character as a Go literal.
pub(super) fn character(c: char, ascii: bool) -> String {
    let mut quoted = String::from('\'');
    escape(c, '\'', ascii, &mut quoted);
    quoted.push('\'');
    quoted
}

fn can_backquote(text: &[u8]) -> Option<&str> {
    let text = str::from_utf8(text).ok()?;
    let plain = |c: char| (c == '\t' || !c.is_control()) && !matches!(c, '`' | '\u{feff}');
    text.chars().all(plain).then_some(text)
}

fn escape(c: char, quote: char, ascii: bool, to: &mut String) {
    match c {
        '\\' => to.push_str("\\\\"),
        c if c == quote => {
            to.push('\\');
            to.push(c);
        }
        '\x07' => to.push_str("\\a"),
        '\x08' => to.push_str("\\b"),
        '\x0c' => to.push_str("\\f"),
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        '\x0b' => to.push_str("\\v"),
        c if is_printable(c) && (c.is_ascii() || !ascii) => to.push(c),
        c if c < ' ' || c == '\x7f' => to.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if u32::from(c) < 0x1_0000 => to.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => to.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        let mut text = "a\"\\\n\0\x7fé\u{a0}\u{200b}\u{e0001}\u{fffd}"
            .to_owned()
            .into_bytes();
        text.push(0xff);
        assert_eq!(
            string(&text, false, false),
            "\"a\\\"\\\\\\n\\x00\\x7fé\\u00a0\\u200b\\U000e0001\u{fffd}\\xff\""
        );
        assert_eq!(
            string("é🚀`".as_bytes(), true, true),
            "\"\\u00e9\\U0001f680`\""
        );
        assert_eq!(string(b"a\"b", true, false), "`a\"b`");
        assert_eq!(character('\'', false), "'\\''");
    }
}
