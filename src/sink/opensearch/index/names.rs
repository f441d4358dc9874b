//! What can be said of the names of all indices of a target before there is an event.

use super::{Parts, Target, legal, legal_characters};
use crate::event::Time;
use crate::template::{GoTime, Template};

/// The names that events may give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The texts between what depends on the event; one if nothing does.
    texts: Vec<String>,
    stem: String,
    /// How many days of events the index of a date holds. `None` if there is no date, or one that comes again.
    pub days: Option<u32>,
}

// === impl Target ===

impl Target {
    /// What is known of the names that it gives.
    pub fn names(&self) -> Names {
        let mut names = Names {
            texts: vec![String::new()],
            stem: String::new(),
            days: None,
        };
        let mut stem = None;
        match &self.parts {
            Parts::Fixed(name) => names.text(name),
            Parts::Rendered(template) => names.template(template),
            Parts::Dated {
                before,
                layout,
                after,
            } => {
                names.template(before);
                stem = Some(legal_beginning(names.start()));
                names.layout(layout);
                names.template(after);
                names.days = days(layout);
            }
        }
        names.make_legal();
        names.stem = stem.unwrap_or_else(|| names.start().to_owned());
        names
    }
}

// === impl Names ===

impl Names {
    /// The one name, if it is the same for every event.
    pub fn one(&self) -> Option<&str> {
        match self.texts.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }

    /// What every name begins with.
    pub fn start(&self) -> &str {
        self.texts.first().map_or("", String::as_str)
    }

    /// What every name begins with before there is a date in it.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// With `*` for what depends on the event: as narrow as can be, since what has it may be deleted by it.
    pub fn pattern(&self) -> String {
        self.texts.join("*")
    }

    fn text(&mut self, text: &str) {
        if let Some(last) = self.texts.last_mut() {
            last.push_str(text);
        }
    }

    /// Something that depends on the event.
    fn unknown(&mut self) {
        let is_behind_another =
            self.texts.len() > 1 && self.texts.last().is_some_and(String::is_empty);
        if !is_behind_another {
            self.texts.push(String::new());
        }
    }

    fn template(&mut self, template: &Template) {
        for text in template.texts() {
            match text {
                Some(text) => self.text(text),
                None => self.unknown(),
            }
        }
    }

    /// A date as Go lays it out, in this century.
    fn layout(&mut self, layout: &str) {
        const SAMPLES: [&str; 3] = [
            "2011-01-02T03:04:05.6Z",
            "2024-11-22T13:24:35.78Z",
            "2039-12-31T23:59:59Z",
        ];
        let samples = SAMPLES.map(|time| show(layout, time));
        let samples = samples.each_ref().map(|sample| words(sample));
        let [first, others @ ..] = &samples;
        if others.iter().any(|other| other.len() != first.len()) {
            self.unknown();
            return;
        }
        for (at, word) in first.iter().enumerate() {
            let length = others.iter().fold(word.len(), |length, other| {
                let same = word.bytes().zip(other[at].bytes());
                length.min(same.take_while(|(one, other)| one == other).count())
            });
            let is_same = others.iter().all(|other| other[at] == *word);
            self.text(&word[..word.floor_char_boundary(length)]);
            if !is_same {
                self.unknown();
            }
        }
    }

    fn make_legal(&mut self) {
        if let [name] = self.texts.as_mut_slice() {
            *name = legal(name);
            return;
        }
        for text in &mut self.texts {
            *text = legal_characters(text);
        }
        if let Some(start) = self.texts.first_mut() {
            *start = legal_beginning(start);
        }
    }
}

/// What names may begin with, of a text that others follow.
fn legal_beginning(text: &str) -> String {
    let text = legal_characters(text);
    // With the dot, it is hidden.
    if text.starts_with('.') {
        return text;
    }
    text.trim_start_matches(['-', '_', '+']).to_owned()
}

fn show(layout: &str, time: &str) -> String {
    let mut shown = String::new();
    let time = Time::parse(time).unwrap_or_else(Time::now);
    GoTime::from(time).format(layout, &mut shown);
    shown
}

/// Letters and digits, and what is between them, in turn.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != is_word);
        let (word, others) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(word);
        rest = others;
    }
    words
}

fn days(layout: &str) -> Option<u32> {
    let differ = |one, other| {
        let [one, other] = [one, other].map(|day: &str| show(layout, &format!("{day}T00:00:00Z")));
        one != other
    };
    // Both are Mondays: a name without a year comes again, and its index with it.
    if !differ("2024-01-01", "2029-01-01") {
        return None;
    }
    Some(match () {
        () if differ("2024-01-01", "2024-01-02") => 1,
        () if differ("2024-01-01", "2024-02-01") => 31,
        () => 366,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Located;

    fn located(text: &str) -> Located<String> {
        Located {
            value: text.to_owned(),
            ..Located::default()
        }
    }

    #[test]
    fn a_pattern_is_as_narrow_as_the_format() {
        for (format, pattern, days) in [
            ("kube-events", "kube-events", None),
            ("kube-events-{2006.01.02}", "kube-events-20*.*.*", Some(1)),
            ("kube-events-{2006-01-02}", "kube-events-20*-*-*", Some(1)),
            (
                "Kube-Events-{2006.01.02.15}",
                "kube-events-20*.*.*.*",
                Some(1),
            ),
            ("e-{20060102}-prod", "e-20*-prod", Some(1)),
            ("e-{06.01}", "e-*.*", Some(31)),
            ("e-{2006.002}", "e-20*.*", Some(1)),
            ("e-{2006}", "e-20*", Some(366)),
            ("e-{Jan-2006}", "e-*-20*", Some(31)),
            ("e-{01.02}", "e-*.*", None),
            ("e-{Monday}", "e-*", None),
            ("e-{none}", "e-none", None),
            ("{{ .Namespace }}-{2006}", "*-20*", Some(366)),
            ("e-{{ .Namespace }}{{ .Type }}-{2006}", "e-*-20*", Some(366)),
            ("_e-{2006}", "e-20*", Some(366)),
            (".e-{2006}", ".e-20*", Some(366)),
            ("{2006.01}", "20*.*", Some(31)),
        ] {
            let names = Target::dated(&located(format)).unwrap().names();
            assert_eq!(
                (names.pattern().as_str(), names.days),
                (pattern, days),
                "{format}"
            );
        }
        let rendered = Target::index(&located("events-{{ .Namespace }}"))
            .unwrap()
            .names();
        assert_eq!(rendered.pattern(), "events-*");
        assert_eq!((rendered.one(), rendered.start()), (None, "events-"));
    }
}
