//! Reads a configuration file, or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::ConfigError;
use crate::yaml::{Position, Problem};

/// Four times what a `ConfigMap` can hold.
const MAX_BYTES: u64 = 4 << 20;

/// Reads the text in `path`; `-` is standard input.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let bytes = if path == Path::new("-") {
        bytes(io::stdin().lock())
    } else {
        File::open(path).and_then(bytes)
    };
    let bytes = bytes.map_err(|cause| ConfigError::Read {
        path: path.to_owned(),
        cause,
    })?;
    decode(bytes).map_err(|problem| ConfigError::Invalid {
        path: path.display().to_string(),
        problem,
    })
}

fn bytes(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more, to tell whether that was all.
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn decode(bytes: Vec<u8>) -> Result<String, Problem> {
    if bytes.len() as u64 > MAX_BYTES {
        let limit = MAX_BYTES >> 20;
        return Err(Problem::nowhere(format!(
            "the file has more than {limit} MiB, which no configuration needs"
        )));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Problem::nowhere("the file is UTF-16: save it as UTF-8"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let line = before.rsplit('\n').next().unwrap_or_default();
        Problem {
            path: String::new(),
            position: Position {
                line: before.matches('\n').count() + 1,
                column: line.chars().count() + 1,
            },
            message: "this is no UTF-8: save the file as UTF-8".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_with_its_place() {
        for (bytes, error) in [
            (
                &b"a: 1\nb: \xc3\xbc\xff"[..],
                "2:5: this is no UTF-8: save the file as UTF-8",
            ),
            (b"\xff\xfea\0", " the file is UTF-16: save it as UTF-8"),
        ] {
            assert_eq!(decode(bytes.to_vec()).unwrap_err().to_string(), error);
        }
        let long = vec![b'#'; 10 << 20];
        let long = bytes(&*long).unwrap();
        assert_eq!(
            decode(long).unwrap_err().to_string(),
            " the file has more than 4 MiB, which no configuration needs"
        );
        assert_eq!(decode(vec![b'#'; 4 << 20]).unwrap().len(), 4 << 20);
    }
}
