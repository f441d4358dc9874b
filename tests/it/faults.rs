//! The lists of faults and of what `_bulk` answers, and the tests that they name.

use std::collections::{BTreeMap, BTreeSet};
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

/// The tests that a list names in its last column, with the numbers of their rows.
fn listed(list: &str) -> BTreeMap<String, Vec<u32>> {
    let mut listed = BTreeMap::<String, Vec<u32>>::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(list);
    for row in fs::read_to_string(path).unwrap().lines() {
        let number = row.split('|').nth(1).map(str::trim);
        let Some(number) = number.and_then(|it| it.parse().ok()) else {
            continue;
        };
        let tests = row.rsplit('|').nth(1).unwrap();
        for test in tests.split('`').skip(1).step_by(2) {
            listed.entry(test.to_owned()).or_default().push(number);
        }
    }
    listed
}

/// The numbers of faults in a test's name: 26 and 27 of `fault_26_27_a_process_is_told_to_end`.
fn numbers(test: &str) -> Vec<u32> {
    let name = test.rsplit("::").next().unwrap();
    let after = name.strip_prefix("fault_").unwrap_or_default();
    after.split('_').map_while(|it| it.parse().ok()).collect()
}

#[test]
fn the_lists_name_tests_that_are_there_and_tests_the_numbers_of_their_faults() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    tests(&root.join("src"), "", &mut found);
    tests(&root.join("tests/it"), "it::", &mut found);
    let (faults, answers) = (listed("FAULTS.md"), listed("BULK.md"));
    assert!(faults.len() > 60 && answers.len() > 15);
    for test in faults.keys().chain(answers.keys()) {
        assert!(found.contains(test), "{test}");
    }
    for test in &found {
        let named = faults.get(test).cloned().unwrap_or_default();
        assert_eq!(numbers(test), named, "{test}");
    }
}
