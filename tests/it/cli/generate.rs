//! What is made of what the commands say of themselves: completions, manual pages, and `docs/cli.md`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{EXPORTER, is_current, run, text};

const NAME: &str = "kubernetes-event-exporter";

fn told(args: &[&str]) -> String {
    let output = Command::new(&*EXPORTER).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}");
    text(&output.stdout)
}

/// The names of the commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = told(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| Some(line.split_whitespace().next()?.to_owned()));
    names.filter(|name| name != "help").collect()
}

#[test]
fn the_reference_of_commands_is_current() {
    let block = |help: &str| {
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        format!("```text\n{}\n```\n", lines.join("\n").trim_end())
    };
    let mut reference =
        "# Commands\n\nWhat `--help` says. Flags may have one dash or two. What commands do is told at length in\n[configuration.md](configuration.md#check).\n\n"
            .to_owned();
    reference += &block(&told(&["--help"]));
    for command in commands() {
        let help = block(&told(&[&command, "--help"]));
        reference += &format!("\n## {command}\n\n{help}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    is_current(&root.join("docs/cli.md"), &reference);
}

/// What bash makes of the last word, after a script of ours was sourced.
fn completed(words: &[&str]) -> Vec<String> {
    // A shell that is no terminal completes nothing by itself: this calls what `complete -F` names, as it would.
    const CALL: &str = r#"
        source /dev/stdin
        [[ $(complete -p "$1") =~ -F\ ([^ ]+) ]] || exit 1
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "${BASH_REMATCH[1]}" "$1" "${@: -1}" "${@: -2:1}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash")
        .args(["--noprofile", "--norc", "-c", CALL, "bash", NAME])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = told(&["completions", "bash"]);
    let mut input = bash.stdin.take().unwrap();
    input.write_all(script.as_bytes()).unwrap();
    drop(input);
    let output = bash.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success());
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    assert_eq!(completed(&["rou"]), ["route"]);
    assert_eq!(completed(&["route", "--di"]), ["--diff"]);
    assert_eq!(completed(&["route", "--output", "j"]), ["json"]);
    assert_eq!(completed(&["completions", "f"]), ["fish"]);
}

#[test]
fn every_shell_is_told_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = told(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
    let unknown = run(&["completions", "csh"], "", "");
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn there_is_a_manual_page_for_the_program_and_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    told(&["man", folder.path().to_str().unwrap()]);
    let mut pages: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    let commands = commands();
    let mut expected: Vec<String> = commands
        .iter()
        .map(|command| format!("{NAME}-{command}.1"))
        .chain([format!("{NAME}.1")])
        .collect();
    pages.sort();
    expected.sort();
    assert_eq!(pages, expected);
    for page in pages {
        let path = folder.path().join(&page);
        let source = std::fs::read_to_string(&path).unwrap();
        assert!(source.contains("\n.TH "), "{page}: {source}");
        // What renders manual pages is not on every machine.
        let groff = Command::new("groff")
            .args(["-ww", "-man", "-Tascii", "-P-cbou"])
            .arg(&path)
            .output();
        let Ok(rendered) = groff else { continue };
        assert_eq!(text(&rendered.stderr), "", "{page}");
        let shown = text(&rendered.stdout);
        assert!(
            shown.contains("NAME") && shown.contains("SYNOPSIS"),
            "{shown}"
        );
        let (name, _) = page.rsplit_once('.').unwrap();
        assert!(shown.contains(name), "{shown}");
        if page == format!("{NAME}-route.1") {
            assert!(shown.contains("--diff"), "{shown}");
        }
    }
    let nowhere = run(&["man", "/nowhere"], "", "");
    assert_eq!(nowhere.status.code(), Some(1));
    let errors = text(&nowhere.stderr);
    assert!(
        errors.starts_with("error: cannot write manual pages into /nowhere: "),
        "{errors}"
    );
}
