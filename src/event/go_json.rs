//! JSON to the byte as Go's `encoding/json` writes it: `<`, `>` and `&` escaped, so that it can stand in HTML, and the
//! line separators U+2028 and U+2029, so that it can stand in JavaScript.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// Appends `value` as JSON in Go's spelling.
pub fn append<T: Serialize + ?Sized>(value: &T, to: &mut Vec<u8>) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(to, GoFormatter))
}

/// Appends a string that may hold bytes that are no text, each of which becomes U+FFFD, in an escape. What can be
/// harmful in HTML is escaped only with `html`.
pub fn append_text(text: &[u8], html: bool, to: &mut Vec<u8>) -> serde_json::Result<()> {
    if html && let Ok(text) = str::from_utf8(text) {
        return append(text, to);
    }
    to.push(b'"');
    for chunk in text.utf8_chunks() {
        let start = to.len();
        append(chunk.valid(), to)?;
        // It brings its quotes.
        to.pop();
        to.remove(start);
        if !html {
            unescape_html(start, to);
        }
        for _ in chunk.invalid() {
            to.extend_from_slice(b"\\ufffd");
        }
    }
    to.push(b'"');
    Ok(())
}

/// Takes back the escapes for HTML in what was written from `start` on.
pub fn unescape_html(start: usize, to: &mut Vec<u8>) {
    let (mut read, mut write) = (start, start);
    while read < to.len() {
        let (byte, length) = match &to[read..] {
            [b'\\', b'u', b'0', b'0', b'3', b'c', ..] => (b'<', 6),
            [b'\\', b'u', b'0', b'0', b'3', b'e', ..] => (b'>', 6),
            [b'\\', b'u', b'0', b'0', b'2', b'6', ..] => (b'&', 6),
            // An escaped backslash begins no escape.
            [b'\\', second, ..] => {
                let second = *second;
                to[write] = b'\\';
                (write, read) = (write + 1, read + 1);
                (second, 1)
            }
            [byte, ..] => (*byte, 1),
            [] => break,
        };
        to[write] = byte;
        (write, read) = (write + 1, read + length);
    }
    to.truncate(write);
}

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let bytes = fragment.as_bytes();
        let mut start = 0;
        let mut at = 0;
        while at < bytes.len() {
            let (escape, length): (&[u8], usize) = match bytes[at] {
                b'<' => (b"\\u003c", 1),
                b'>' => (b"\\u003e", 1),
                b'&' => (b"\\u0026", 1),
                0xE2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => (b"\\u2028", 3),
                0xE2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => (b"\\u2029", 3),
                _ => {
                    at += 1;
                    continue;
                }
            };
            writer.write_all(&bytes[start..at])?;
            writer.write_all(escape)?;
            at += length;
            start = at;
        }
        writer.write_all(&bytes[start..])
    }

    fn write_char_escape<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let text: &[u8] = match escape {
            CharEscape::Quote => b"\\\"",
            CharEscape::ReverseSolidus => b"\\\\",
            CharEscape::Solidus => b"/",
            CharEscape::LineFeed => b"\\n",
            CharEscape::CarriageReturn => b"\\r",
            CharEscape::Tab => b"\\t",
            // Go 1.20, which the incumbent is built with, has no short forms of these two.
            CharEscape::Backspace => b"\\u0008",
            CharEscape::FormFeed => b"\\u000c",
            CharEscape::AsciiControl(byte) => return write!(writer, "\\u{byte:04x}"),
        };
        writer.write_all(text)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes_as_go_does() {
        let mut line = Vec::new();
        super::append(
            "<a href=\"x\">&\u{2028}\u{2029}\u{2030}\u{8}\u{c}\n\r\t\u{1}\u{7f}/é🚀",
            &mut line,
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\\u2028\\u2029\u{2030}\\u0008\\u000c\\n\\r\\t\\u0001\u{7f}/é🚀\""
        );
    }
}
