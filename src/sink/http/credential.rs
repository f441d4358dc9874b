//! Credentials: as the configuration gives them, or in files, so that whoever rotates one need not touch the configuration.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use super::TlsConfig;
use crate::yaml::{Located, Problem, Problems};

/// What stands under a key, or in the file that the key with `File` behind it names. Where there is nothing, it is absent.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    key: &'static str,
    value: &'a Located<String>,
    file: &'a Located<String>,
}

/// More than any credential has.
const MAX_BYTES: u64 = 64 << 10;

// === impl Credential ===

impl<'a> Credential<'a> {
    /// The one under `key`.
    pub fn new(key: &'static str, value: &'a Located<String>, file: &'a Located<String>) -> Self {
        Self { key, value, file }
    }

    /// Whether it is absent.
    pub fn is_empty(self) -> bool {
        self.value.is_empty() && self.file.is_empty()
    }

    /// Whether either key stands in the text, with something behind it or not.
    pub fn is_given(self) -> bool {
        self.value.is_given() || self.file.is_given()
    }

    /// The key that gives it.
    pub fn key(self) -> String {
        if self.file.is_empty() {
            self.key.to_owned()
        } else {
            format!("{}File", self.key)
        }
    }

    /// Where it is given.
    pub fn place(self) -> &'a Located<String> {
        if self.file.is_empty() {
            self.value
        } else {
            self.file
        }
    }

    /// What it is; empty if it is absent. A file is read every time, for it may have changed, and what it holds is taken as
    /// it is but for the end of its last line.
    pub fn read(self) -> Result<Located<String>, Problem> {
        if self.file.is_empty() {
            return Ok(self.value.clone());
        }
        if !self.value.is_empty() {
            let in_value_first = self.value.position < self.file.position;
            let second = if in_value_first {
                self.file
            } else {
                self.value
            };
            let key = self.key;
            return Err(second.problem(format!("give either `{key}` or `{key}File`")));
        }
        Ok(Located {
            value: contents(self.file)?,
            // What it holds is not for messages.
            written: Some(self.file.shown().to_owned()),
            ..self.file.clone()
        })
    }

    /// Several of them, or all that is wrong with them.
    pub fn read_all<const N: usize>(
        credentials: [Self; N],
    ) -> Result<[Located<String>; N], Problems> {
        let mut problems = Problems::default();
        let read = credentials.map(|credential| problems.ok(credential.read()).unwrap_or_default());
        problems.or(read)
    }
}

/// The files that a sink with these credentials and this TLS is made of.
pub fn files(credentials: &[Credential<'_>], tls: &TlsConfig) -> Vec<PathBuf> {
    let credentials = credentials.iter().map(|credential| credential.file);
    credentials
        .chain([&tls.ca_file, &tls.cert_file, &tls.key_file])
        .filter(|file| !file.is_empty())
        .map(|file| PathBuf::from(&file.value))
        .collect()
}

fn contents(file: &Located<String>) -> Result<String, Problem> {
    let path = file.shown();
    let mut bytes = Vec::new();
    // One more, to tell whether that was all.
    File::open(&file.value)
        .and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            file.problem(format!(
                "cannot read {path}: {error}; the file has to be there, and this process has to have the right to read it"
            ))
        })?;
    if bytes.len() as u64 > MAX_BYTES {
        let limit = MAX_BYTES >> 10;
        return Err(file.problem(format!(
            "{path} has more than {limit} KiB, which no credential needs: name the file that holds it and nothing else"
        )));
    }
    let mut text = String::from_utf8(bytes)
        .map_err(|_| file.problem(format!("{path} is no UTF-8: save the credential as text")))?;
    // Editors and `echo` end a line; a second one would be meant.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(file.problem(format!("{path} is empty: write the credential into it")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde::Deserialize;

    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Config {
        key: Located<String>,
        #[serde(rename = "keyFile")]
        key_file: Located<String>,
    }

    fn read(text: &str) -> Result<Located<String>, String> {
        let config: Config = crate::yaml::parse(text, &|_| None).unwrap().value;
        let credential = Credential::new("key", &config.key, &config.key_file);
        credential.read().map_err(|problem| problem.to_string())
    }

    fn read_file(path: &Path) -> Result<String, String> {
        read(&format!("\nkeyFile: {}", path.display())).map(|read| read.value)
    }

    #[test]
    fn a_file_is_taken_as_it_is_but_for_one_end_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (contents, value) in [
            ("s3cret", "s3cret"),
            ("s3cret\n", "s3cret"),
            ("s3cret\r\n", "s3cret"),
            ("s3cret\n\n", "s3cret\n"),
            (" s3\ncret\r", " s3\ncret\r"),
            // Nothing of it is a variable.
            ("$HOME ${HOME} $$", "$HOME ${HOME} $$"),
        ] {
            fs::write(&path, contents).unwrap();
            assert_eq!(read_file(&path).as_deref(), Ok(value), "{contents:?}");
        }
        let longest = "x".repeat(64 << 10);
        fs::write(&path, &longest).unwrap();
        assert_eq!(read_file(&path), Ok(longest));
        // Messages show its path.
        let read = read(&format!("keyFile: {}", path.display())).unwrap();
        assert_eq!(read.shown(), path.to_str().unwrap());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let shown = path.display();
        let told = read_file(&path).unwrap_err();
        assert!(
            told.starts_with(&format!("2:10: keyFile: cannot read {shown}: No such file")),
            "{told}"
        );
        let too_long = "s3cret ".repeat(64 << 10).into_bytes();
        for (contents, message) in [
            (&b""[..], "is empty: write the credential into it"),
            (b"\r\n", "is empty: write the credential into it"),
            (b"s3cret\xff", "is no UTF-8: save the credential as text"),
            (
                &too_long,
                "has more than 64 KiB, which no credential needs: name the file that holds it and nothing else",
            ),
        ] {
            fs::write(&path, contents).unwrap();
            let expected = format!("2:10: keyFile: {shown} {message}");
            assert_eq!(read_file(&path), Err(expected));
        }
        let told = read_file(folder.path()).unwrap_err();
        assert!(told.contains("Is a directory"), "{told}");
    }

    #[test]
    fn one_of_both_keys_is_enough() {
        let told = |text: &str| read(text).unwrap_err();
        let message = "give either `key` or `keyFile`";
        assert_eq!(
            told("key: a\nkeyFile: b"),
            format!("2:10: keyFile: {message}")
        );
        assert_eq!(told("keyFile: b\nkey: a"), format!("2:6: key: {message}"));
        // What has nothing behind it is absent.
        assert_eq!(read("key: a\nkeyFile:").unwrap().value, "a");
        assert_eq!(read("key: \"\"\nkeyFile: \"\"").unwrap().value, "");
    }
}
