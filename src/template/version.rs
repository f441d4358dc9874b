//! Semantic versions, read and compared as Masterminds' semver 3.2.0 does.

use std::cmp::Ordering;
use std::rc::Rc;

use super::context::Context;
use super::failure::{Failure, Result};
use super::function::{Arguments, Function, Param, fixed};
use super::value::{IntType, Value};

/// A semantic version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    /// What follows `-`.
    pub(super) prerelease: String,
    /// What follows `+`; it does not count in comparisons.
    metadata: String,
    /// As it was written.
    original: String,
}

const T: Param = Param::Text;
const V: Param = Param::Version;

/// The first argument is the version that they are called on; their parameters are the others.
pub(super) const METHODS: &[Function] = &[
    fixed("Compare", &[V], |_, a| {
        let order = compared(&a)? as i64;
        Ok(Value::int(order))
    }),
    fixed("Equal", &[V], |_, a| Ok(Value::Bool(compared(&a)?.is_eq()))),
    fixed("GreaterThan", &[V], |_, a| {
        Ok(Value::Bool(compared(&a)?.is_gt()))
    }),
    fixed("IncMajor", &[], |_, a| {
        changed(&a, |version| {
            version.major = version.major.wrapping_add(1);
            (version.minor, version.patch) = (0, 0);
        })
    }),
    fixed("IncMinor", &[], |_, a| {
        changed(&a, |version| {
            version.minor = version.minor.wrapping_add(1);
            version.patch = 0;
        })
    }),
    fixed("IncPatch", &[], |_, a| {
        changed(&a, |version| {
            // The next one after a prerelease is its release.
            if version.prerelease.is_empty() {
                version.patch = version.patch.wrapping_add(1);
            }
        })
    }),
    fixed("LessThan", &[V], |_, a| {
        Ok(Value::Bool(compared(&a)?.is_lt()))
    }),
    fixed("Major", &[], |_, a| number(&a, |version| version.major)),
    fixed("Metadata", &[], |_, a| {
        text(&a, |version| version.metadata.clone())
    }),
    fixed("Minor", &[], |_, a| number(&a, |version| version.minor)),
    fixed("Original", &[], |_, a| {
        text(&a, |version| version.original.clone())
    }),
    fixed("Patch", &[], |_, a| number(&a, |version| version.patch)),
    fixed("Prerelease", &[], |_, a| {
        text(&a, |version| version.prerelease.clone())
    }),
    fixed("SetMetadata", &[T], |context, a| {
        let metadata = a.lossy(1).into_owned();
        if !metadata.is_empty() && !is_dotted(&metadata, true) {
            return Err(Failure::new(
                "the metadata of a version is letters, digits, `-` and `.`",
            ));
        }
        replaced(context, &a, |version| {
            version.metadata.clone_from(&metadata);
        })
    }),
    fixed("SetPrerelease", &[T], |context, a| {
        let prerelease = a.lossy(1).into_owned();
        if !prerelease.is_empty() && !is_prerelease(&prerelease, true) {
            return Err(Failure::new(
                "the prerelease is none that a version can have",
            ));
        }
        replaced(context, &a, |version| {
            version.prerelease.clone_from(&prerelease);
        })
    }),
    fixed("String", &[], |_, a| text(&a, Version::text)),
];

fn receiver<'a>(a: &'a Arguments<'_>) -> Result<&'a Rc<Version>> {
    a.version(0)
        .ok_or_else(|| Failure::new("there is no version"))
}

fn compared(a: &Arguments<'_>) -> Result<Ordering> {
    let other = a
        .version(1)
        .ok_or_else(|| Failure::new("there is no version to compare with"))?;
    Ok(receiver(a)?.compare(other))
}

fn number<'e>(a: &Arguments<'e>, of: impl FnOnce(&Version) -> u64) -> Result<Value<'e>> {
    let number = of(receiver(a)?);
    Ok(Value::Int(number.cast_signed(), IntType::Uint64))
}

fn text<'e>(a: &Arguments<'e>, of: impl FnOnce(&Version) -> String) -> Result<Value<'e>> {
    Ok(Value::text(of(receiver(a)?)))
}

/// A later version, which is a release.
fn changed<'e>(a: &Arguments<'e>, change: impl FnOnce(&mut Version)) -> Result<Value<'e>> {
    let mut version = Version::clone(receiver(a)?);
    change(&mut version);
    version.prerelease.clear();
    version.metadata.clear();
    Ok(Value::Version(Rc::new(version.written_anew())))
}

fn replaced<'e>(
    context: &Context<'_>,
    a: &Arguments<'_>,
    change: impl FnOnce(&mut Version),
) -> Result<Value<'e>> {
    let mut version = Version::clone(receiver(a)?);
    change(&mut version);
    let version = version.written_anew();
    context.spend_bytes(version.original.len())?;
    Ok(Value::Version(Rc::new(version)))
}

// === impl Version ===

impl Version {
    /// Reads a version. It may begin with `v`, and leave out the last numbers.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('v').unwrap_or(text);
        let (rest, metadata) = parted(rest, '+');
        let (numbers, prerelease) = parted(rest, '-');
        if metadata.is_some_and(|metadata| !is_dotted(metadata, false))
            || prerelease.is_some_and(|prerelease| !is_prerelease(prerelease, false))
        {
            return None;
        }
        let mut found = [0; 3];
        for (at, digits) in numbers.split('.').enumerate() {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *found.get_mut(at)? = digits.parse().ok()?;
        }
        let [major, minor, patch] = found;
        Some(Self {
            major,
            minor,
            patch,
            prerelease: prerelease.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
            original: text.to_owned(),
        })
    }

    /// By the numbers, then by the prerelease; none comes after any.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| {
            match (self.prerelease.as_str(), other.prerelease.as_str()) {
                ("", "") => Ordering::Equal,
                ("", _) => Ordering::Greater,
                (_, "") => Ordering::Less,
                (left, right) => compare_prereleases(left, right),
            }
        })
    }

    /// How many bytes it holds.
    pub(super) fn weight(&self) -> usize {
        self.original.len() + self.prerelease.len() + self.metadata.len()
    }

    /// Written out in full, without a `v`.
    pub(super) fn append_text(&self, to: &mut String) {
        to.push_str(&format!("{}.{}.{}", self.major, self.minor, self.patch));
        for (mark, text) in [('-', &self.prerelease), ('+', &self.metadata)] {
            if !text.is_empty() {
                to.push(mark);
                to.push_str(text);
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.append_text(&mut text);
        text
    }

    /// A `v` that was there stays.
    fn written_anew(self) -> Self {
        let v = if self.original.starts_with('v') {
            "v"
        } else {
            ""
        };
        let original = format!("{v}{}", self.text());
        Self { original, ..self }
    }
}

fn parted(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((text, part)) => (text, Some(part)),
        None => (text, None),
    }
}

/// Letters, digits and hyphens, with dots between them. `or_empty` is for what is set later, where dots may be anywhere.
fn is_dotted(text: &str, or_empty: bool) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.split('.')
        .all(|part| (or_empty || !part.is_empty()) && part.bytes().all(is_part))
}

/// Numbers in it do not begin with zeros.
fn is_prerelease(text: &str, or_empty: bool) -> bool {
    let is_padded = |part: &str| {
        part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    is_dotted(text, or_empty) && !text.split('.').any(is_padded)
}

/// Part by part; what is shorter comes first.
pub(super) fn compare_prereleases(left: &str, right: &str) -> Ordering {
    let (mut lefts, mut rights) = (left.split('.'), right.split('.'));
    loop {
        let (left, right) = match (lefts.next(), rights.next()) {
            (None, None) => return Ordering::Equal,
            (left, right) => (left.unwrap_or_default(), right.unwrap_or_default()),
        };
        if left == right {
            continue;
        }
        if left.is_empty() || right.is_empty() {
            return left.len().cmp(&right.len());
        }
        return match (left.parse::<u64>(), right.parse::<u64>()) {
            (Ok(left), Ok(right)) if left > right => Ordering::Greater,
            (Ok(_), _) => Ordering::Less,
            (_, Ok(_)) => Ordering::Greater,
            _ => left.cmp(right),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_written() {
        for (text, expected) in [
            ("1.2.3", Some("1.2.3")),
            ("v1", Some("1.0.0")),
            ("1.2-beta.1+b-7", Some("1.2.0-beta.1+b-7")),
            ("01.02.03", Some("1.2.3")),
            ("1.2.3-01", None),
            ("1.2.3-0a", Some("1.2.3-0a")),
            ("1.2.3-", None),
            ("1.2.3+", None),
            ("1.2.3-a..b", None),
            ("1.2.3.4", None),
            ("V1", None),
            ("", None),
            ("18446744073709551616", None),
            ("1.2.3+a+b", None),
            ("1.2.3\n", None),
        ] {
            let found = Version::parse(text).map(|version| version.text());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn versions_are_ordered() {
        let sorted = [
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-a",
            "1.0.0-a.1",
            "1.0.0-b",
            "1.0.0",
            "1.0.1",
            "1.1",
            "2",
        ];
        for pair in sorted.windows(2) {
            let versions: Vec<Version> = pair
                .iter()
                .filter_map(|text| Version::parse(text))
                .collect();
            assert!(versions[0].compare(&versions[1]).is_lt(), "{pair:?}");
            assert!(versions[1].compare(&versions[0]).is_gt(), "{pair:?}");
        }
    }
}
