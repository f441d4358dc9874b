//! Functions on semantic versions, and constraints on them as Masterminds' semver 3.2.0 reads them.

#![expect(
    clippy::needless_pass_by_value,
    reason = "functions in tables are all of one type"
)]

use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use super::{Arguments, Function, Param, fixed};
use crate::template::context::Context;
use crate::template::failure::{Failure, Result};
use crate::template::value::Value;
use crate::template::version::{Version, compare_prereleases};

const T: Param = Param::Text;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("semver", &[T], |_, a| {
        let version = version(&a.lossy(0))?;
        Ok(Value::Version(Rc::new(version)))
    }),
    fixed("semverCompare", &[T, T], compare),
];

/// `>= 1.2.x`
struct Constraint {
    operator: Operator,
    version: Version,
    /// Some number was left out, or is a wildcard.
    is_open: bool,
    minor_is_open: bool,
    patch_is_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// `=`, or none
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// How constraints are written.
struct Syntax {
    /// `1.2 - 1.4`
    range: Regex,
    /// One or more, of which all have to hold.
    all: Regex,
    one: Regex,
}

static SYNTAX: LazyLock<Option<Syntax>> = LazyLock::new(|| {
    let space = "[\\t\\n\\f\\r ]";
    // A bar is no wildcard, but gets as far as to be refused as a number.
    let number = "[0-9xX*|]+";
    let dotted = "[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*";
    let version = |name: &str| {
        format!(
            "(?P<{name}>v?{number}(?:\\.{number})?(?:\\.{number})?(?:-{dotted})?(?:\\+{dotted})?)"
        )
    };
    let operator = "=>|=<|>=|<=|!=|~>|=|>|<|~|\\^|";
    let plain = version("_").replace("(?P<_>", "(?:");
    let one = format!("(?:{operator}){space}*{plain}");
    let regex = |pattern: &str| Regex::new(pattern).ok();
    Some(Syntax {
        range: regex(&format!(
            "{space}*{}{space}+-{space}+{}{space}*",
            version("from"),
            version("to")
        ))?,
        all: regex(&format!(
            "\\A{space}*{one}{space}*(?:(?:{space}+|,{space}*){one}{space}*)*\\z"
        ))?,
        one: regex(&format!(
            "(?P<operator>{operator}){space}*{}",
            version("version")
        ))?,
    })
});

fn version(text: &str) -> Result<Version> {
    Version::parse(text).ok_or_else(|| Failure::new(format!("`{text}` is no semantic version")))
}

fn compare<'e>(context: &Context<'e>, a: Arguments<'e>) -> Result<Value<'e>> {
    let alternatives = alternatives(&a.lossy(0), context)?;
    let version = version(&a.lossy(1))?;
    let holds = alternatives
        .iter()
        .any(|all| all.iter().all(|constraint| constraint.holds(&version)));
    Ok(Value::Bool(holds))
}

/// Of each, all constraints have to hold.
fn alternatives(text: &str, context: &Context<'_>) -> Result<Vec<Vec<Constraint>>> {
    let invalid = || Failure::new(format!("`{text}` is no constraint on versions"));
    let syntax = SYNTAX.as_ref().ok_or_else(invalid)?;
    let mut written = text.to_owned();
    for range in syntax.range.captures_iter(text) {
        context.spend_bytes(written.len())?;
        let between = format!(">= {}, <= {}", &range["from"], &range["to"]);
        written = written.replacen(&range[0], &between, 1);
    }
    let mut alternatives = Vec::new();
    for all in written.split("||") {
        if !syntax.all.is_match(all) {
            return Err(invalid());
        }
        let constraints: Option<Vec<Constraint>> = syntax
            .one
            .captures_iter(all)
            .map(|one| Constraint::parse(&one["operator"], &one["version"]))
            .collect();
        alternatives.push(constraints.ok_or_else(invalid)?);
    }
    Ok(alternatives)
}

// === impl Constraint ===

impl Constraint {
    fn parse(operator: &str, text: &str) -> Option<Self> {
        let operator = match operator {
            "" | "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            ">=" | "=>" => Operator::GreaterOrEqual,
            "<=" | "=<" => Operator::LessOrEqual,
            "~" | "~>" => Operator::Tilde,
            "^" => Operator::Caret,
            _ => return None,
        };
        let bare = text.strip_prefix('v').unwrap_or(text);
        let end = bare.find(['-', '+']).unwrap_or(bare.len());
        let (numbers, rest) = bare.split_at(end);
        let prerelease = rest.split('+').next().unwrap_or_default();
        let numbers: Vec<&str> = numbers.split('.').collect();
        let is_wildcard =
            |number: Option<&&str>| number.is_none_or(|n| matches!(*n, "x" | "X" | "*"));
        let first_open = (0..3).find(|&at| is_wildcard(numbers.get(at)));
        let version = match first_open {
            Some(0) => format!("0.0.0{prerelease}"),
            Some(1) => format!("{}.0.0{prerelease}", numbers[0]),
            Some(_) => format!("{}.{}.0{prerelease}", numbers[0], numbers[1]),
            None => text.to_owned(),
        };
        Some(Self {
            operator,
            version: Version::parse(&version)?,
            is_open: first_open.is_some(),
            minor_is_open: first_open == Some(1),
            patch_is_open: first_open == Some(2),
        })
    }

    fn holds(&self, version: &Version) -> bool {
        let wanted = &self.version;
        let order = version.compare(wanted);
        // Whoever does not ask for prereleases does not want them.
        let is_unwanted = !version.prerelease.is_empty() && wanted.prerelease.is_empty();
        if is_unwanted && (self.operator != Operator::NotEqual || self.is_open) {
            return false;
        }
        let same_major = version.major == wanted.major;
        match self.operator {
            Operator::Equal if self.is_open => self.tilde_holds(version, order),
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => self.differs(version, order),
            Operator::Greater if !self.is_open || !same_major => order.is_gt(),
            Operator::Greater if self.minor_is_open => false,
            Operator::Greater if self.patch_is_open => version.minor > wanted.minor,
            Operator::Greater => order.is_gt(),
            Operator::Less => order.is_lt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::LessOrEqual if !self.is_open => order.is_le(),
            Operator::LessOrEqual => {
                version.major < wanted.major
                    || same_major && (version.minor <= wanted.minor || self.minor_is_open)
            }
            Operator::Tilde => self.tilde_holds(version, order),
            Operator::Caret => self.caret_holds(version, order),
        }
    }

    fn differs(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        if !self.is_open {
            return order.is_ne();
        }
        if version.major != wanted.major {
            return true;
        }
        if self.minor_is_open {
            return false;
        }
        if version.minor != wanted.minor || !self.patch_is_open && version.patch != wanted.patch {
            return true;
        }
        if self.patch_is_open {
            return compare_prereleases(&version.prerelease, &wanted.prerelease).is_ne();
        }
        order.is_ne()
    }

    /// Only the last number that is given may be larger.
    fn tilde_holds(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        if order.is_lt() {
            return false;
        }
        let is_zero = (wanted.major, wanted.minor, wanted.patch) == (0, 0, 0);
        if is_zero && !self.minor_is_open && !self.patch_is_open {
            return true;
        }
        version.major == wanted.major && (version.minor == wanted.minor || self.minor_is_open)
    }

    /// The first number that is not zero may not be larger.
    fn caret_holds(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        if order.is_lt() || version.major != wanted.major {
            return false;
        }
        if wanted.major > 0 || self.minor_is_open {
            return true;
        }
        if version.minor != wanted.minor {
            return false;
        }
        wanted.minor > 0 || self.patch_is_open || version.patch == wanted.patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prereleases_are_only_for_who_asks() {
        let holds = |operator, constraint, version| {
            let constraint = Constraint::parse(operator, constraint).expect("a constraint");
            constraint.holds(&Version::parse(version).expect("a version"))
        };
        assert!(!holds(">", "1.0.0", "1.1.0-a"));
        assert!(holds(">", "1.0.0-0", "1.1.0-a"));
        assert!(holds("!=", "1.0.0", "1.1.0-a"));
        assert!(!holds("!=", "1.0.x", "1.1.0-a"));
        assert!(!holds(">", "11", "11.1.0"));
        assert!(holds("^", "0.2", "0.2.9"));
        assert!(!holds("^", "0.0.3", "0.0.4"));
        assert!(holds("~", "0.0.0", "9.9.9"));
        assert!(Constraint::parse("=", "1|2").is_none());
    }
}
