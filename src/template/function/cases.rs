//! Functions that change the case of letters, or tell words by it.

use super::{Function, Param, fixed};
use crate::template::runes::{
    REPLACEMENT, first_rune, is_digit, is_letter, is_lower, is_punctuation, is_title, is_upper,
    map, push, runes, to_lower, to_title, to_upper,
};
use crate::template::value::Value;

const T: Param = Param::Text;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("camelcase", &[T], |_, a| {
        Ok(Value::text(camel_case(a.text(0))))
    }),
    fixed("kebabcase", &[T], |_, a| {
        Ok(Value::text(separated(a.text(0), b'-')))
    }),
    fixed("lower", &[T], |_, a| {
        Ok(Value::text(map(a.text(0), to_lower)))
    }),
    fixed("snakecase", &[T], |_, a| {
        Ok(Value::text(separated(a.text(0), b'_')))
    }),
    fixed("swapcase", &[T], |_, a| Ok(Value::text(swapped(a.text(0))))),
    fixed("title", &[T], |_, a| Ok(Value::text(titled(a.text(0))))),
    fixed("untitle", &[T], |_, a| Ok(Value::text(untitled(a.text(0))))),
    fixed("upper", &[T], |_, a| {
        Ok(Value::text(map(a.text(0), to_upper)))
    }),
];

/// Words begin after whatever is no letter, digit or underscore, but beyond ASCII only after spaces.
fn titled(text: &[u8]) -> Vec<u8> {
    let mut before = ' ';
    map(text, |c| {
        let separates = if before.is_ascii() {
            !before.is_ascii_alphanumeric() && before != '_'
        } else {
            !is_letter(before) && !is_digit(before) && before.is_whitespace()
        };
        before = c;
        if separates { to_title(c) } else { c }
    })
}

fn untitled(text: &[u8]) -> Vec<u8> {
    let mut begins = true;
    map(text, |c| {
        if c.is_whitespace() {
            begins = true;
            c
        } else if begins {
            begins = false;
            to_lower(c)
        } else {
            c
        }
    })
}

fn swapped(text: &[u8]) -> Vec<u8> {
    let mut after_space = true;
    map(text, |c| {
        if is_upper(c) || is_title(c) {
            after_space = false;
            to_lower(c)
        } else if is_lower(c) {
            if after_space {
                after_space = false;
                to_title(c)
            } else {
                to_upper(c)
            }
        } else {
            after_space = c.is_whitespace();
            c
        }
    })
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// Leading connectors stay, and of several the first goes.
fn camel_case(text: &[u8]) -> Vec<u8> {
    let mut camel = Vec::with_capacity(text.len());
    let mut chars = runes(text).map(|(c, _)| c);
    let mut last = None;
    for c in chars.by_ref() {
        if !is_connector(c) {
            last = Some(to_upper(c));
            break;
        }
        last = Some(c);
        push(c, &mut camel);
    }
    let Some(mut last) = last else {
        return camel;
    };
    // What is nothing but connectors gets its last one again.
    for c in chars {
        if is_connector(last) {
            if is_connector(c) {
                push(last, &mut camel);
                last = c;
            } else {
                last = to_upper(c);
            }
        } else {
            push(last, &mut camel);
            last = c;
        }
    }
    push(last, &mut camel);
    camel
}

/// What a stretch of text consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    /// There is none.
    Nothing,
    Number,
    Upper,
    Letters,
    Connector,
    Punctuation,
    Other,
}

/// Words in small letters with connectors between them.
fn separated(text: &[u8], connector: u8) -> Vec<u8> {
    let mut to = Vec::with_capacity(text.len() + text.len() / 4);
    if text.is_empty() {
        return to;
    }
    let (mut word, mut part, mut rest) = next_word(text);
    while !rest.is_empty() {
        if word != Word::Connector {
            append_lower(word, part, connector, &mut to);
        }
        let (before, last) = (word, part);
        (word, part, rest) = next_word(rest);
        let ends_alone = |word| matches!(word, Word::Connector | Word::Punctuation);
        match before {
            Word::Number => {
                append_run(&mut word, &mut part, &mut rest, connector, &mut to);
                if word != Word::Nothing && !ends_alone(word) {
                    to.push(connector);
                }
            }
            Word::Connector => append_lower(before, last, connector, &mut to),
            Word::Punctuation => {}
            _ if word != Word::Number => {
                if !ends_alone(word) {
                    to.push(connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = part;
                (word, part, rest) = next_word(rest);
                if word == Word::Letters {
                    // `HTTP2xx`: the number belongs to what follows.
                    to.push(connector);
                    append_lower(Word::Number, number, connector, &mut to);
                    append_run(&mut word, &mut part, &mut rest, connector, &mut to);
                    if word != Word::Nothing && !ends_alone(word) {
                        to.push(connector);
                    }
                } else {
                    append_lower(Word::Number, number, connector, &mut to);
                    if !ends_alone(word) {
                        to.push(connector);
                    }
                }
            }
        }
    }
    append_lower(word, part, connector, &mut to);
    to
}

/// Appends small letters and numbers as long as there are any.
fn append_run<'t>(
    word: &mut Word,
    part: &mut &'t [u8],
    rest: &mut &'t [u8],
    connector: u8,
    to: &mut Vec<u8>,
) {
    while matches!(word, Word::Letters | Word::Number) {
        append_lower(*word, part, connector, to);
        (*word, *part, *rest) = next_word(rest);
    }
}

fn append_lower(word: Word, part: &[u8], connector: u8, to: &mut Vec<u8>) {
    if !matches!(word, Word::Upper | Word::Connector) {
        to.extend_from_slice(part);
        return;
    }
    for (c, _) in runes(part) {
        if is_connector(c) {
            to.push(connector);
        } else if is_upper(c) {
            push(to_lower(c), to);
        } else {
            push(c, to);
        }
    }
}

/// The word that `text` begins with, and what follows it.
fn next_word(text: &[u8]) -> (Word, &[u8], &[u8]) {
    if text.is_empty() {
        return (Word::Nothing, text, text);
    }
    let (c, size) = next_valid(text, REPLACEMENT);
    let is_alphabetic = |c: char| !is_upper(c) && is_letter_of_word(c);
    let (word, end) = if c == REPLACEMENT {
        (Word::Nothing, size)
    } else if is_connector(c) {
        (Word::Connector, run(text, size, c, is_connector))
    } else if is_punctuation(c) {
        (Word::Punctuation, run(text, size, c, is_punctuation))
    } else if is_upper(c) {
        (Word::Upper, end_of_upper(text, size, c))
    } else if is_letter_of_word(c) {
        (Word::Letters, run(text, size, c, is_alphabetic))
    } else if c.is_numeric() {
        (Word::Number, run(text, size, c, char::is_numeric))
    } else {
        let is_other = |c: char| {
            !is_connector(c) && !is_letter_of_word(c) && !c.is_numeric() && !is_punctuation(c)
        };
        (Word::Other, run(text, size, c, is_other))
    };
    let (part, rest) = text.split_at(end);
    (word, part, rest)
}

/// Where a stretch of characters ends that begins with `size` bytes of `c`.
fn run(text: &[u8], size: usize, c: char, goes_on: impl Fn(char) -> bool) -> usize {
    let (mut end, mut last) = (size, c);
    while end < text.len() {
        let (c, size) = next_valid(&text[end..], last);
        if !goes_on(c) {
            break;
        }
        end += size;
        last = c;
    }
    end
}

/// `Http`, or `HTTP` of `HTTPServer`.
fn end_of_upper(text: &[u8], size: usize, c: char) -> usize {
    if size == text.len() {
        return size;
    }
    let (second, second_size) = next_valid(&text[size..], c);
    if !is_upper(second) {
        return if is_letter_of_word(second) {
            let is_small = |c: char| is_letter_of_word(c) && !is_upper(c);
            run(text, size + second_size, second, is_small)
        } else {
            size
        };
    }
    let (mut end, mut last, mut last_size) = (size + second_size, second, second_size);
    while end < text.len() {
        let (c, size) = next_valid(&text[end..], last);
        if !is_upper(c) {
            // The last capital begins the next word.
            return if is_letter_of_word(c) {
                end - last_size
            } else {
                end
            };
        }
        end += size;
        (last, last_size) = (c, size);
    }
    end
}

/// The next character that is one, with the bytes before it that are none; `last` if there is none.
fn next_valid(text: &[u8], last: char) -> (char, usize) {
    let mut read = 0;
    while read < text.len() {
        let (c, size) = first_rune(&text[read..]);
        read += size;
        if c != REPLACEMENT {
            return (c, read);
        }
    }
    (last, read)
}

/// Chinese characters have no words that could be told by it.
fn is_letter_of_word(c: char) -> bool {
    is_letter(c)
        && !matches!(c, '\u{3400}'..='\u{4d85}' | '\u{4e00}'..='\u{9fcc}' | '\u{20000}'..='\u{2b81d}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: impl AsRef<[u8]>) -> String {
        String::from_utf8_lossy(bytes.as_ref()).into_owned()
    }

    #[test]
    fn words_are_told_by_case() {
        for (input, expected) in [
            ("FirstName", "first_name"),
            ("HTTPServer", "http_server"),
            ("NoHTTPS", "no_https"),
            ("GO PATH-x__y", "go_path_x__y"),
            ("http2xx", "http_2xx"),
            ("HTTP20xOK", "http_20x_ok"),
            ("Duration2m3s", "duration_2m3s"),
            ("Bld4Floor3rd", "bld4_floor_3rd"),
            ("a.B", "a.b"),
            ("ÀB", "àb"),
            ("日本Go漢字", "日本_go_漢字"),
            ("", ""),
        ] {
            assert_eq!(text(separated(input.as_bytes(), b'_')), expected, "{input}");
        }
        assert_eq!(text(camel_case(b"_complex__case_")), "_Complex_Case_");
        assert_eq!(text(camel_case(b"-")), "--");
        assert_eq!(text(camel_case(b"a b-c")), "ABC");
        assert_eq!(text(swapped("aB cD ǅ".as_bytes())), "Ab Cd ǆ");
        assert_eq!(text(titled("it's a_b é-ß".as_bytes())), "It'S A_b É-ß");
        assert_eq!(text(untitled(b"A Bc DE")), "a bc dE");
    }
}
