//! Where a document goes: an index, an index by date, or a data stream.
//!
//! The name depends on nothing but the event, never on the clock, so that a repetition after midnight finds the document
//! where it was put.

use std::borrow::Cow;

use crate::event::{Event, Time};
use crate::template::{GoTime, RenderError, Template};
use crate::yaml::{Located, Problem};

mod names;

pub use self::names::Names;

/// Where documents go.
#[derive(Debug)]
pub struct Target {
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    /// The same for every event.
    Fixed(String),
    /// A template.
    Rendered(Template),
    /// Templates around a date in Go's layout.
    Dated {
        before: Template,
        layout: String,
        after: Template,
    },
}

/// The longest name that servers take, in bytes.
const MAX_NAME: usize = 255;

// === impl Target ===

impl Target {
    /// A data stream.
    pub fn data_stream(name: &Located<String>) -> Result<Self, Problem> {
        Self::index(name)
    }

    /// An index.
    pub fn index(name: &Located<String>) -> Result<Self, Problem> {
        let template = Template::parse(name)?;
        let parts = match template.literal() {
            None => Parts::Rendered(template),
            Some(name) => Parts::Fixed(name.to_owned()),
        };
        if let Parts::Fixed(given) = &parts
            && *given != legal(given)
        {
            // What stands for a variable is not shown.
            let would_be = match name.written {
                None => format!("; `{}` would be", legal(given)),
                Some(_) => String::new(),
            };
            return Err(name.problem(format!(
                "`{}` is no legal name of an index{would_be}: lower case, without spaces and \\/*?\"<>|,#:",
                name.shown()
            )));
        }
        Ok(Self { parts })
    }

    /// An index by date: what is between the first `{` and the last `}` is a layout as Go's `time.Format` has it.
    /// Actions of templates, `{{ … }}`, may stand before and after.
    pub fn dated(format: &Located<String>) -> Result<Self, Problem> {
        let text = &format.value;
        let (Some(open), Some(close)) = (first_brace(text), last_brace(text)) else {
            return Self::index_unchecked(format);
        };
        if close < open {
            return Self::index_unchecked(format);
        }
        let part = |text: &str| {
            let part = Located {
                value: text.to_owned(),
                ..format.clone()
            };
            Template::parse(&part)
        };
        let (before, after) = (part(&text[..open])?, part(&text[close + 1..])?);
        Ok(Self {
            parts: Parts::Dated {
                before,
                layout: text[open + 1..close].to_owned(),
                after,
            },
        })
    }

    /// Tells of what looks like a date and is none.
    pub fn lint(index: &Located<String>, format: &Located<String>, warnings: &mut Vec<Problem>) {
        if format.is_empty() && first_brace(index).zip(last_brace(index)).is_some() {
            warnings.push(
                index.problem(
                    "the braces are part of the name: for a date, the key is `indexFormat`",
                ),
            );
        }
        let looks_dated = first_brace(format).is_some() || format.contains('%');
        let Some(dated) = Self::dated(format).ok().filter(|_| looks_dated) else {
            return;
        };
        let at = |time: &str| Event {
            last_timestamp: Time::parse(time),
            ..Event::default()
        };
        let [one, other] = [at("1999-11-22T13:14:15Z"), at("2026-01-02T03:04:05Z")];
        if let (Ok(one), Ok(other)) = (dated.of(&one, false), dated.of(&other, false))
            && one == other
        {
            let shown = match format.written {
                Some(_) => format.shown(),
                None => &*one,
            };
            warnings.push(format.problem(format!(
                "no date is in `{shown}`, whatever the event's: the layout is Go's, such as {{2006.01.02}} for an index a day"
            )));
        }
    }

    /// A name without a date, mended rather than refused, as the dated ones are.
    fn index_unchecked(name: &Located<String>) -> Result<Self, Problem> {
        Ok(Self {
            parts: Parts::Rendered(Template::parse(name)?),
        })
    }

    /// Whether the name has something in it that a lookup of the involved object adds.
    pub fn reads_object(&self) -> bool {
        match &self.parts {
            Parts::Fixed(_) => false,
            Parts::Rendered(template) => template.reads_object(),
            Parts::Dated { before, after, .. } => before.reads_object() || after.reads_object(),
        }
    }

    /// Where `event` goes. Its date is that of the occurrence, or, where all versions of an Event must meet in one
    /// document (`stays`), that of the Event's creation.
    pub fn of(&self, event: &Event, stays: bool) -> Result<Cow<'_, str>, RenderError> {
        Ok(match &self.parts {
            Parts::Fixed(name) => Cow::Borrowed(name),
            Parts::Rendered(template) => Cow::Owned(legal(&template.render(event)?)),
            Parts::Dated {
                before,
                layout,
                after,
            } => {
                let time = if stays {
                    event
                        .metadata
                        .creation_timestamp
                        .unwrap_or_else(|| event.first_occurred())
                } else {
                    event.occurred()
                };
                let mut name = before.render(event)?;
                GoTime::from(time).format(layout, &mut name);
                name.push_str(&after.render(event)?);
                Cow::Owned(legal(&name))
            }
        })
    }
}

/// The first `{` that does not begin an action.
fn first_brace(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('{')?;
        match action(&text[at..]) {
            Some(length) => from = at + length,
            None => return Some(at),
        }
    }
}

/// The last `}` that does not end an action.
fn last_brace(text: &str) -> Option<usize> {
    let mut to = text.len();
    loop {
        let at = text[..to].rfind('}')?;
        let starts = text[..at].rmatch_indices("{{").map(|(start, _)| start);
        let mut actions = starts.filter(|&start| action(&text[start..]) == Some(at + 1 - start));
        match actions.next() {
            Some(start) => to = start,
            None => return Some(at),
        }
    }
}

/// How long the action is that `text` begins with. What is made of parts of dates alone, `{{2006.01}}`, is none: the
/// incumbent knows no actions here, and takes any brace for the beginning of a date.
fn action(text: &str) -> Option<usize> {
    const WORDS: [&str; 11] = [
        "January", "Jan", "Monday", "Mon", "MST", "PM", "pm", "Z", "T", "_2", "__2",
    ];
    let inner = text.strip_prefix("{{")?;
    let inner = &inner[..inner.find("}}")?];
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        let word = WORDS.iter().find(|word| rest.starts_with(*word));
        let length = match word {
            Some(word) => word.len(),
            None if c.is_ascii_alphabetic() || "$\"`'(|".contains(c) => {
                return Some(inner.len() + 4);
            }
            None => c.len_utf8(),
        };
        rest = &rest[length..];
    }
    None
}

/// The nearest name that servers take: they refuse upper case, some characters, some beginnings, and more than 255 bytes.
pub fn legal(name: &str) -> String {
    let mut legal = legal_characters(name);
    let start = legal.len() - legal.trim_start_matches(['-', '_', '+', '.']).len();
    // A name that begins with a dot is hidden, and legal; on its own it isn't.
    if start > 0 && (!legal.starts_with('.') || start == legal.len()) {
        legal.drain(..start);
    }
    if legal.is_empty() {
        legal.push_str("events");
    }
    legal.truncate(legal.floor_char_boundary(MAX_NAME));
    legal
}

fn legal_characters(text: &str) -> String {
    text.chars()
        .flat_map(char::to_lowercase)
        .map(|c| {
            if c.is_whitespace() || c.is_control() || "\\/*?\"<>|,#:".contains(c) {
                '-'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::event::Time;

    #[derive(Deserialize)]
    struct Rows {
        rows: Vec<Row>,
    }

    #[derive(Deserialize)]
    struct Row {
        format: Located<String>,
        time: Option<String>,
        index: String,
        #[serde(default = "yes")]
        legal: bool,
    }

    fn yes() -> bool {
        true
    }

    fn event(time: &str) -> Event {
        Event {
            last_timestamp: Time::parse(time),
            ..Event::default()
        }
    }

    #[test]
    fn the_incumbents_formats_give_the_incumbents_names() {
        for file in [
            include_str!("../../../tests/vectors/index-format.yaml"),
            include_str!("../../../tests/vectors/index-format-more.yaml"),
        ] {
            let rows: Rows = crate::yaml::parse(&format!("rows:\n{file}"), &|_| None)
                .unwrap()
                .value;
            for row in rows.rows {
                let event = event(row.time.as_deref().unwrap_or("2024-05-01T10:20:30Z"));
                let target = Target::dated(&row.format).unwrap();
                let expected = if row.legal {
                    legal(&row.index)
                } else {
                    row.index.to_lowercase().replace(' ', "-")
                };
                assert_eq!(
                    target.of(&event, false).unwrap(),
                    expected,
                    "{}",
                    row.format.value
                );
                if row.legal && row.index.chars().all(|c| !c.is_ascii_uppercase()) {
                    assert_eq!(expected, row.index, "a legal name is left alone");
                }
            }
        }
    }

    fn located(text: &str) -> Located<String> {
        Located {
            value: text.to_owned(),
            ..Located::default()
        }
    }

    #[test]
    fn names_may_be_made_of_fields_and_are_made_legal() {
        let mut event = event("2024-05-01T10:20:30Z");
        event.metadata.namespace = "../Team A".to_owned();
        let index = Target::index(&located("events-{{ .Namespace }}")).unwrap();
        assert_eq!(index.of(&event, false).unwrap(), "events-..-team-a");
        let dated = Target::dated(&located("{{ .Namespace }}-{2006.01}-{{ .Type }}")).unwrap();
        assert_eq!(dated.of(&event, false).unwrap(), "..-team-a-2024.05-");
    }

    #[test]
    fn braces_around_dates_are_no_actions() {
        let mut event = event("2024-05-01T10:20:30Z");
        event.metadata.namespace = "shop".to_owned();
        for (format, index) in [
            ("e-{{2006}}", "e-{2024}"),
            ("e-{{2006}}-{01}", "e-{2024}}-{05"),
            ("e-{{2006.01.02}}", "e-{2024.05.01}"),
            ("e-{{{2006}}}", "e-{{2024}}"),
            ("e-{{}}", "e-{}"),
            ("e-{{2006}", "e-{2024"),
            ("e-{{Jan}}", "e-{may}"),
            ("{{ .Namespace }}-{{2006}}", "shop-{2024}"),
            ("{2006}-{{ .Namespace }}", "2024-shop"),
        ] {
            let target = Target::dated(&located(format)).unwrap();
            assert_eq!(target.of(&event, false).unwrap(), index, "{format}");
        }
        assert!(Target::dated(&located("{{ .Namespace | nope }}-{2006}")).is_err());
    }

    #[test]
    fn a_document_that_is_rewritten_stays_where_its_event_began() {
        let mut event = event("2024-05-02T00:00:01Z");
        event.metadata.creation_timestamp = Time::parse("2024-05-01T23:59:59Z");
        let target = Target::dated(&located("e-{2006.01.02}")).unwrap();
        assert_eq!(target.of(&event, true).unwrap(), "e-2024.05.01");
        assert_eq!(target.of(&event, false).unwrap(), "e-2024.05.02");
    }

    #[test]
    fn a_fixed_name_that_no_server_takes_is_refused() {
        let problem = Target::index(&located("Kube Events")).unwrap_err();
        assert!(
            problem.message.contains("`kube-events` would be"),
            "{}",
            problem.message
        );
        for name in ["kube-events", ".hidden", "a_b+c", "événements"] {
            assert!(Target::index(&located(name)).is_ok(), "{name}");
        }
    }
}
