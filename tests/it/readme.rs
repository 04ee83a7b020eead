//! The commands of the README, run: every block that follows a line `<!-- tested -->`.
//!
//! They run in a copy of the project folder without `target/`. `cargo run` stands for the program
//! that is already built; nothing is compiled here.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::readers::Table;
use crate::view::json_file;

/// Stands in for cargo: `cargo run --release -- ARGS` is `mp ARGS`.
const CARGO: &str = r#"#!/bin/sh
[ "$1" = run ] || { echo "the README test knows only cargo run" >&2; exit 64; }
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
[ $# -gt 0 ] && shift
exec mp "$@"
"#;

/// What is no part of a fresh clone, and what takes long to copy.
const LEFT_OUT: [&str; 4] = ["target", ".git", "logs", "data"];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (name, path) = (entry.file_name(), entry.path());
        let is_folder = entry.file_type().expect("a type").is_dir();
        if is_folder && !LEFT_OUT.iter().any(|left_out| name == *left_out) {
            copy(&path, &to.join(name));
        } else if !is_folder {
            std::fs::copy(&path, to.join(name)).expect("copied");
        }
    }
}

/// A copy of the repository as a newcomer has it, and the tools that its commands need.
fn clone() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("mp-clone-").tempdir().expect("a folder");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(repository, folder.path());
    copy(&repository.join("data/example/raw"), &folder.path().join("data/example/raw"));
    let tools = folder.path().join("target/tools");
    std::fs::create_dir_all(&tools).expect("a folder");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mp"), tools.join("mp")).expect("a link");
    std::fs::write(tools.join("cargo"), CARGO).expect("written");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(tools.join("cargo"), executable).expect("a mode");
    folder
}

/// The marked blocks: the line in the README, and the commands of each.
fn blocks() -> Vec<(usize, String)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(readme).expect("README.md");
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "<!-- tested -->") {
        let fence = lines.get(at + 1).copied().unwrap_or_default();
        assert!(
            ["```console", "```bash", "```sh"].contains(&fence),
            "README.md:{}: {fence}",
            at + 2
        );
        let body: Vec<&str> =
            lines[at + 2..].iter().take_while(|line| **line != "```").copied().collect();
        let commands: Vec<&str> = match fence {
            "```console" => body.iter().filter_map(|line| line.strip_prefix("$ ")).collect(),
            _ => body,
        };
        assert!(!commands.is_empty(), "README.md:{}: a block without a command", at + 2);
        blocks.push((at + 2, commands.join("\n")));
    }
    blocks
}

fn run(folder: &Path, place: &str, script: &str) {
    let path = std::env::var("PATH").unwrap_or_default();
    let tools = folder.join("target/tools");
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(folder);
    command.env("PATH", format!("{}:{path}", tools.display()));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MP_"))
    {
        command.env_remove(name);
    }
    let output = command.output().expect("bash runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{place}: {}\n{script}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[test]
fn the_commands_of_the_readme_work_one_after_the_other_in_a_fresh_clone() {
    let blocks = blocks();
    assert!(blocks.len() >= 3, "the README has hardly a tested block");
    let clone = clone();
    for (line, script) in blocks {
        run(clone.path(), &format!("README.md:{line}"), &script);
    }
}

#[test]
fn the_bundled_example_runs_and_writes_to_its_own_folders_only() {
    let clone = clone();
    let command = "cargo run --release -- run --all --config config/example.yaml";
    run(clone.path(), "the example", command);
    let data = clone.path().join("data");
    let folders: Vec<_> = std::fs::read_dir(&data)
        .expect("data")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(folders, ["example"], "never the user's own folders");
    let mut found = Vec::new();
    find(&data, "training_dataset.parquet", &mut found);
    let gold = found.first().expect("Gold");
    assert!(Table::parquet(gold).rows.len() > 2_000);
    let mut reports = Vec::new();
    find(&data, "quality_report.json", &mut reports);
    let report: Value = json_file(reports.first().expect("a report"));
    for (source, about) in [("prints", 20_000.0), ("taps", 2_000.0), ("payments", 30_000.0)] {
        let rows = report["row_counts"][source].as_f64().expect("a count");
        assert!((rows / about - 1.0).abs() < 0.15, "{source}: {rows} rows");
    }
    run(clone.path(), "the example again", &format!("{command} --dry-run | grep -q 'up to date'"));
}

fn find(folder: &Path, name: &str, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, name, found);
        } else if path.file_name().is_some_and(|last| last == name) {
            found.push(path);
        }
    }
}
