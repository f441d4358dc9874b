//! A section for which one word may stand.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Visitor};

use super::de::SWITCH;

/// A section, or `true` for one without keys, or `false` for none.
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(untagged))]
#[derive(Debug, Clone)]
pub enum Switch<T> {
    /// One word.
    Plain(bool),
    /// Its keys; there may be none.
    Section(T),
}

struct SwitchVisitor<T>(PhantomData<T>);

// === impl Switch ===

impl<T> Switch<T> {
    /// Whether it is on: a section is, whatever is in it.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Plain(false))
    }

    /// What its keys say, if there are any.
    pub fn section(&self) -> Option<&T> {
        match self {
            Self::Plain(_) => None,
            Self::Section(section) => Some(section),
        }
    }
}

impl<T> Default for Switch<T> {
    fn default() -> Self {
        Self::Plain(false)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SWITCH, SwitchVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a section")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Switch::Plain(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        T::deserialize(deserializer).map(Switch::Section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Parsed;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Keys {
        one: String,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Top {
        it: Switch<Keys>,
    }

    #[test]
    fn one_word_stands_for_a_section() {
        for (text, is_on, one) in [
            ("other: 1", false, None),
            ("it: true", true, None),
            ("it: False", false, None),
            ("it: ${NONE:-true}", true, None),
            ("it:", true, Some("")),
            ("it: {}", true, Some("")),
            ("it: {one: 1}", true, Some("1")),
        ] {
            let read: Parsed<Top> = crate::yaml::parse(text, &|_| None).unwrap();
            let it = read.value.it;
            let found = it.section().map(|keys| keys.one.as_str());
            assert_eq!((it.is_on(), found), (is_on, one), "{text}");
        }
        let unknown: Parsed<Top> = crate::yaml::parse("it: {two: 2}", &|_| None).unwrap();
        assert_eq!(unknown.warnings.len(), 1, "{unknown:?}");
        let error = crate::yaml::parse::<Top>("it: maybe", &|_| None).unwrap_err();
        assert!(error.message.contains("true or false"), "{error}");
    }
}
