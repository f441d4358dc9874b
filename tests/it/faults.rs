//! The lists of faults and of what `_bulk` answers name tests that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The paths of the tests in a folder's sources, without `tests` in them.
fn tests(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let inner = match name.as_str() {
            "tests" | "lib" | "main" => module.to_owned(),
            name => format!("{module}{name}::"),
        };
        if path.is_dir() {
            tests(&path, &inner, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("fn ").skip(1);
            let names = functions.map(|rest| rest.split(['(', '<']).next().unwrap());
            found.extend(names.map(|name| format!("{inner}{name}")));
        }
    }
}

#[test]
fn every_test_that_the_lists_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    tests(&root.join("src"), "", &mut found);
    tests(&root.join("tests/it"), "it::", &mut found);
    for (list, least) in [("FAULTS.md", 60), ("BULK.md", 30)] {
        let text = fs::read_to_string(root.join("tests").join(list)).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| "));
        let last = rows.filter_map(|row| row.rsplit('|').nth(1));
        let named: Vec<&str> = last
            .flat_map(|tests| tests.split('`').skip(1).step_by(2))
            .collect();
        assert!(named.len() > least, "{list}: {}", named.len());
        let missing: Vec<&&str> = named
            .iter()
            .filter(|name| !found.contains(**name))
            .collect();
        assert!(missing.is_empty(), "{list}: {missing:?}");
    }
}
