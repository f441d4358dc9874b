//! Every example is a test.

use std::fs;
use std::path::Path;

use crate::support::{run, text};

#[test]
fn every_example_passes_a_strict_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let output = run(
                &["check", "config.yaml", "--strict"],
                &fs::read_to_string(&path).unwrap(),
                "",
            );
            assert!(
                output.status.success(),
                "{}: {}",
                path.display(),
                text(&output.stderr)
            );
            checked += 1;
        }
    }
    assert!(checked > 5, "{checked}");
}

/// The YAML in the README and in docs/ that is a whole configuration.
#[test]
fn every_configuration_in_the_documentation_passes_a_strict_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for file in ["README.md", "docs/configuration.md"] {
        let document = fs::read_to_string(root.join(file)).unwrap();
        for block in document.split("```yaml\n").skip(1) {
            let config = block.split("```").next().unwrap();
            if config.contains("receivers:") && config.contains("route:") {
                let output = run(&["check", "config.yaml", "--strict"], config, "");
                assert!(
                    output.status.success(),
                    "{file}: {}\n{config}",
                    text(&output.stderr)
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 0);
}
