//! Strings and characters in quotes, as Go's `strconv` writes them.

/// A string as a Go literal; with `raw`, in backquotes where it can be; with `ascii`, without any character beyond ASCII.
pub(super) fn string(text: &[u8], raw: bool, ascii: bool) -> String {
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

/// Whether a character can be seen, near enough: the space, and what Rust would not escape.
pub(in super::super) fn is_printable(c: char) -> bool {
    match c {
        ' ' => true,
        c if c.is_whitespace() || c.is_control() => false,
        '\'' | '"' | '\\' => true,
        // A combining character is escaped only where nothing can be combined with.
        c => c.escape_debug().count() == 1 || !c.is_ascii() && !is_unassigned(c),
    }
}

/// Private, unassigned and invisible characters are escaped even after others.
fn is_unassigned(c: char) -> bool {
    format!("a{c}").escape_debug().count() > 2
}
