//! No configuration, however odd, ends the program.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::super::Config;
use crate::pipeline::Pipeline;

/// What breaks a file in ways that people and tools break it.
const SNIPPETS: [&str; 26] = [
    "",
    "\n",
    "\t",
    " ",
    "  ",
    "- ",
    ": ",
    "{{",
    "}}",
    "{{ .Message }}",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: *a",
    "${X}",
    "$",
    "|\n",
    "---\n",
    "\r\n",
    "\u{feff}",
    "ü\u{0}",
];

fn examples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut examples: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    examples.sort();
    examples
}

/// Puts a snippet in place of some characters.
fn mutate(text: &str, at: usize, length: usize, snippet: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = at % (characters.len() + 1);
    let end = (at + length).min(characters.len());
    let before = characters[..at].iter();
    let after = characters[end..].iter();
    before
        .chain(&snippet.chars().collect::<Vec<_>>())
        .chain(after)
        .collect()
}

proptest! {
    #[test]
    fn no_configuration_is_too_odd(
        example in 0..1000_usize,
        changes in prop::collection::vec((any::<usize>(), 0..12_usize, 0..SNIPPETS.len()), 1..6),
    ) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let examples = examples();
        let mut text = examples[example % examples.len()].clone();
        for (at, length, snippet) in changes {
            text = mutate(&text, at, length, SNIPPETS[snippet]);
        }
        let found = Config::inspect(&text, &|_| None);
        prop_assert!(found.config.is_some() || !found.errors.is_empty());
        for problem in found.errors.iter().chain(&found.warnings) {
            prop_assert!(!problem.to_string().contains('\n'));
        }
        if let Some(config) = found.config {
            Pipeline::problems(config.receivers);
        }
    }
}
