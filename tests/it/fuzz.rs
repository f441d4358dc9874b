//! The seeds of the fuzzers, through the same functions.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/targets.rs"]
#[expect(clippy::expect_used, reason = "that is how a fuzzer is told")]
mod targets;

fn run(folder: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut seeds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            target(&fs::read(path).unwrap());
            seeds += 1;
        }
    }
    assert!(seeds > 4, "{seeds}");
}

#[test]
fn no_seed_of_the_fuzzers_panics() {
    run("config", targets::config_load);
    run("fuzz/seeds/config_load", targets::config_load);
    run("fuzz/seeds/template", targets::template);
}
