//! The functions that templates may call: Go's own, and sprig's (3.2.3, which the incumbent has), but for those that read
//! the environment, files or the network, and those that give something else every time.
//!
//! A function says what it takes as Go's would: the evaluator checks and converts, so that no function sees an argument
//! that it does not expect.

use std::rc::Rc;

use super::context::Context;
use super::failure::Result;
use super::time::GoTime;
use super::value::{Dict, Value};
use super::version::Version;

pub(super) use self::argument::{checked, constant};

mod argument;
mod builtin;
mod cases;
mod cast;
mod compare;
mod dates;
mod decimal;
mod defaults;
mod dicts;
mod encodings;
mod equal;
mod escape;
mod hashes;
mod lists;
mod merge;
mod numbers;
mod paths;
mod regexps;
mod strings;
mod texts;
mod types;
mod urls;
mod versions;

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) params: &'static [Param],
    /// The last parameter stands for any number of arguments, none included.
    pub(super) is_variadic: bool,
    pub(super) call: Call,
}

/// What makes of arguments a result. Whoever calls has counted and checked the arguments, and takes note of their size.
pub(super) type Call = for<'e> fn(&Context<'e>, Arguments<'e>) -> Result<Value<'e>>;

/// What Go's function would be declared to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Param {
    /// `interface {}`, and what Go's own functions take
    Any,
    Bool,
    /// `map[string]interface {}`
    Dict,
    /// `time.Duration`
    Duration,
    Float,
    Int,
    /// `string`
    Text,
    /// `time.Time`
    Time,
    /// `*v1.Time`
    ApiTime,
    /// `*v1.MicroTime`
    MicroTime,
    /// `*semver.Version`
    Version,
}

/// Arguments, of the types that the function declares.
pub(super) struct Arguments<'e>(pub(super) Vec<Value<'e>>);

/// All that can be called.
const TABLES: [&[Function]; 19] = [
    builtin::FUNCTIONS,
    cases::FUNCTIONS,
    cast::FUNCTIONS,
    compare::FUNCTIONS,
    dates::FUNCTIONS,
    defaults::FUNCTIONS,
    dicts::FUNCTIONS,
    encodings::FUNCTIONS,
    escape::FUNCTIONS,
    hashes::FUNCTIONS,
    lists::FUNCTIONS,
    numbers::FUNCTIONS,
    paths::FUNCTIONS,
    regexps::FUNCTIONS,
    strings::FUNCTIONS,
    texts::FUNCTIONS,
    types::FUNCTIONS,
    urls::FUNCTIONS,
    versions::FUNCTIONS,
];

/// Functions of sprig that are not here, and why.
const REFUSED: [(&[&str], &str); 4] = [
    (
        &["env", "expandenv"],
        "reads the environment, which templates may not: use `${NAME}` outside of `{{ }}`",
    ),
    (
        &["derivePassword"],
        "derives a password by scrypt, which is not built in",
    ),
    (
        &["getHostByName"],
        "asks the network, which templates may not",
    ),
    (
        &[
            "bcrypt",
            "buildCustomCert",
            "encryptAES",
            "genCA",
            "genCAWithKey",
            "genPrivateKey",
            "genSelfSignedCert",
            "genSelfSignedCertWithKey",
            "genSignedCert",
            "genSignedCertWithKey",
            "htpasswd",
            "randAlpha",
            "randAlphaNum",
            "randAscii",
            "randBytes",
            "randInt",
            "randNumeric",
            "shuffle",
            "uuidv4",
        ],
        "gives something else every time, so that an event that is sent again would not be the same",
    ),
];

/// The function of that name.
pub(super) fn find(name: &str) -> std::result::Result<&'static Function, String> {
    let functions = || TABLES.iter().flat_map(|table| table.iter());
    if let Some(function) = functions().find(|function| function.name == name) {
        return Ok(function);
    }
    if let Some((_, why)) = REFUSED.iter().find(|(names, _)| names.contains(&name)) {
        return Err(format!("the function `{name}` {why}"));
    }
    let hint = match crate::yaml::nearest(name, functions().map(|function| function.name)) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    Err(format!("there is no function `{name}`{hint}"))
}

/// For tables: a function with a fixed number of arguments.
pub(super) const fn fixed(name: &'static str, params: &'static [Param], call: Call) -> Function {
    Function {
        name,
        params,
        is_variadic: false,
        call,
    }
}

/// For tables: a function whose last parameter stands for any number of arguments.
const fn variadic(name: &'static str, params: &'static [Param], call: Call) -> Function {
    Function {
        name,
        params,
        is_variadic: true,
        call,
    }
}

// === impl Arguments ===

impl<'e> Arguments<'e> {
    /// Any argument; [`Value::Nil`] for one that is not there.
    pub(super) fn any(&self, at: usize) -> &Value<'e> {
        self.0.get(at).unwrap_or(&Value::Nil)
    }

    /// Takes an argument out.
    pub(super) fn take(&mut self, at: usize) -> Value<'e> {
        self.0
            .get_mut(at)
            .map_or(Value::Nil, |value| std::mem::replace(value, Value::Nil))
    }

    /// Those from `at` on.
    pub(super) fn from(&self, at: usize) -> &[Value<'e>] {
        self.0.get(at..).unwrap_or_default()
    }

    /// Of a parameter [`Param::Text`].
    pub(super) fn text(&self, at: usize) -> &[u8] {
        match self.any(at) {
            Value::Text(text, _) => text,
            _ => &[],
        }
    }

    /// Of a parameter [`Param::Text`], with U+FFFD for what is no text.
    pub(super) fn lossy(&self, at: usize) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.text(at))
    }

    /// Of a parameter [`Param::Int`] or [`Param::Duration`].
    pub(super) fn int(&self, at: usize) -> i64 {
        match self.any(at) {
            Value::Int(value, _) => *value,
            _ => 0,
        }
    }

    /// Of a parameter [`Param::Float`].
    pub(super) fn float(&self, at: usize) -> f64 {
        match self.any(at) {
            Value::Float(value) => *value,
            _ => 0.0,
        }
    }

    /// Of a parameter [`Param::Bool`].
    pub(super) fn bool(&self, at: usize) -> bool {
        matches!(self.any(at), Value::Bool(true))
    }

    /// Of a parameter [`Param::Dict`]; `None` for the map that is nothing.
    pub(super) fn dict(&self, at: usize) -> Option<&Dict<'e>> {
        match self.any(at) {
            Value::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// Of a parameter of a time.
    pub(super) fn time(&self, at: usize) -> &GoTime {
        match self.any(at) {
            Value::Time(time, _) => time,
            _ => &GoTime::ZERO,
        }
    }

    /// Of a parameter [`Param::Version`].
    pub(super) fn version(&self, at: usize) -> Option<&Rc<Version>> {
        match self.any(at) {
            Value::Version(version) => Some(version),
            _ => None,
        }
    }
}

// === impl Param ===

impl Param {
    /// As Go calls the type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Bool => "bool",
            Self::Dict => "map[string]interface {}",
            Self::Duration => "time.Duration",
            Self::Float => "float64",
            Self::Int => "int",
            Self::Text => "string",
            Self::Time => "time.Time",
            Self::ApiTime => "*v1.Time",
            Self::MicroTime => "*v1.MicroTime",
            Self::Version => "*semver.Version",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_every_function_and_no_other() {
        let documentation = include_str!("../../docs/templates.md");
        let (_, functions) = documentation.split_once("## Functions").unwrap();
        let (there, refused) = functions.split_once("Not there").unwrap();
        let (refused, _) = refused.split_once("## What differs").unwrap();
        let named = |text: &str| -> std::collections::BTreeSet<String> {
            let names = text.split('`').skip(1).step_by(2);
            names
                .filter(|name| name.chars().all(char::is_alphanumeric) || name.contains('_'))
                .map(str::to_owned)
                .collect()
        };
        let known = TABLES.iter().flat_map(|table| table.iter());
        let known = known.map(|function| function.name.to_owned()).collect();
        assert_eq!(named(there), known);
        let expected: std::collections::BTreeSet<String> = REFUSED
            .iter()
            .flat_map(|(names, _)| names.iter())
            .map(|name| (*name).to_owned())
            .collect();
        let mut told = named(refused);
        told.retain(|name| !name.contains(['$', '{', ' ']));
        assert_eq!(told, expected);
    }
}
