//! Text that anybody may have written, for a terminal.

/// `text` so that it cannot drive a terminal or pass for another line: controls, line separators and changes of direction
/// are spelt out (compare CVE-2021-25743).
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hidden {
            visible.extend(c.escape_default());
        } else {
            visible.push(c);
        }
    }
    visible
}
