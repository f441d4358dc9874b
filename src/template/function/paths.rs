//! Functions on paths with slashes, and on those of the system, which are the same.

use super::{Function, Param, fixed};
use crate::template::value::Value;

const T: Param = Param::Text;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("base", &[T], |_, a| Ok(text(base(a.text(0))))),
    fixed("clean", &[T], |_, a| Ok(Value::text(clean(a.text(0))))),
    fixed("dir", &[T], |_, a| Ok(Value::text(directory(a.text(0))))),
    fixed("ext", &[T], |_, a| Ok(text(extension(a.text(0))))),
    fixed("isAbs", &[T], |_, a| {
        Ok(Value::Bool(a.text(0).starts_with(b"/")))
    }),
    fixed("osBase", &[T], |_, a| Ok(text(base(a.text(0))))),
    fixed("osClean", &[T], |_, a| Ok(Value::text(clean(a.text(0))))),
    fixed("osDir", &[T], |_, a| Ok(Value::text(directory(a.text(0))))),
    fixed("osExt", &[T], |_, a| Ok(text(extension(a.text(0))))),
    fixed("osIsAbs", &[T], |_, a| {
        Ok(Value::Bool(a.text(0).starts_with(b"/")))
    }),
];

fn text<'e>(text: &[u8]) -> Value<'e> {
    Value::text(text.to_vec())
}

/// The last name.
fn base(path: &[u8]) -> &[u8] {
    if path.is_empty() {
        return b".";
    }
    let Some(end) = path.iter().rposition(|&byte| byte != b'/') else {
        return b"/";
    };
    let start = memchr::memrchr(b'/', &path[..end]).map_or(0, |at| at + 1);
    &path[start..=end]
}

/// From the last point of the last name on.
fn extension(path: &[u8]) -> &[u8] {
    match memchr::memrchr2(b'.', b'/', path) {
        Some(at) if path[at] == b'.' => &path[at..],
        _ => b"",
    }
}

/// What is before the last name.
fn directory(path: &[u8]) -> Vec<u8> {
    let end = memchr::memrchr(b'/', path).map_or(0, |at| at + 1);
    clean(&path[..end])
}

/// The shortest path to the same place.
fn clean(path: &[u8]) -> Vec<u8> {
    let is_rooted = path.starts_with(b"/");
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => match names.last() {
                Some(&last) if last != b".." => {
                    names.pop();
                }
                _ if is_rooted => {}
                _ => names.push(name),
            },
            name => names.push(name),
        }
    }
    let mut clean = if is_rooted { b"/".to_vec() } else { Vec::new() };
    clean.extend_from_slice(&names.join(&b'/'));
    if clean.is_empty() {
        clean.push(b'.');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_in_go() {
        for (path, cleaned, name, before, end) in [
            ("", ".", ".", ".", ""),
            ("/", "/", "/", "/", ""),
            ("//", "/", "/", "/", ""),
            ("a/b/../c.d/", "a/c.d", "c.d", "a/c.d", ""),
            ("../../x", "../../x", "x", "../..", ""),
            ("/../x.tar.gz", "/x.tar.gz", "x.tar.gz", "/", ".gz"),
            ("a/../..", "..", "..", ".", "."),
            ("a.b/c", "a.b/c", "c", "a.b", ""),
        ] {
            let path = path.as_bytes();
            assert_eq!(clean(path), cleaned.as_bytes());
            assert_eq!(base(path), name.as_bytes());
            assert_eq!(directory(path), before.as_bytes());
            assert_eq!(extension(path), end.as_bytes());
        }
    }
}
