//! Which module may import which: the directions of the design, read from the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who may use whom. A module not named here may use nothing of ours; `exit_code`, `as_of` and `fault` are
/// for everyone.
const MAY_USE: [(&str, &[&str]); 23] = [
    ("main", &["cli", "error", "observe"]),
    ("lib", &[]),
    (
        "cli",
        &[
            "config",
            "scheduler",
            "stage",
            "source",
            "report",
            "observe",
            "synth",
            "error",
            "dag",
            "store",
            "settings",
            "frame",
            "record",
            "rows",
            "task",
            "progress",
            "allocator",
            "machine",
            "airflow",
            "history",
        ],
    ),
    ("airflow", &["dag"]),
    (
        "error",
        &["config", "dag", "scheduler", "stage", "store", "synth", "task", "frame", "history"],
    ),
    ("history", &["store"]),
    ("config", &["settings"]),
    ("scheduler", &["dag", "store", "task", "progress", "timings"]),
    (
        "stage",
        &[
            "source", "record", "rows", "contract", "frame", "store", "settings", "report", "task",
            "progress", "timings",
        ],
    ),
    ("report", &["settings", "contract"]),
    ("observe", &["progress", "settings"]),
    ("synth", &[]),
    ("source", &["record"]),
    ("rows", &["record"]),
    ("frame", &["contract", "rows", "record"]),
    ("task", &["dag", "store", "progress", "timings"]),
    ("progress", &[]),
    ("timings", &[]),
    ("record", &[]),
    ("allocator", &[]),
    ("machine", &[]),
    ("contract", &[]),
    ("settings", &[]),
];

/// These stand at the bottom: nothing of ours, not even through the table above.
const BOTTOM: [&str; 8] =
    ["exit_code", "as_of", "fault", "record", "contract", "settings", "dag", "store"];

const FOR_EVERYONE: [&str; 3] = ["exit_code", "as_of", "fault"];

fn source_files() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 40, "the source was not found");
    files
}

/// The module at the top level that a file belongs to.
fn module(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let first = below.expect("inside src").components().next().expect("a name");
    let name = first.as_os_str().to_string_lossy().into_owned();
    name.strip_suffix(".rs").map_or(name.clone(), str::to_owned)
}

/// The code of a file that is no comment and no test.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("source");
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = body.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The modules of ours that a piece of code names, as `crate::x`, `mp::x` or `use crate::{x, y}`.
fn used(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    for rest in code.split("crate::").skip(1).chain(code.split("mp::").skip(1)) {
        match rest.strip_prefix('{') {
            None => {
                found.insert(word(rest));
            }
            Some(list) => {
                let mut depth = 0;
                let mut at_start = true;
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => at_start = true,
                        c if depth == 0 && at_start && !c.is_whitespace() => {
                            found.insert(word(&list[at..]));
                            at_start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().expect("a name").to_string_lossy();
    name == "tests" || name.ends_with("_tests") || path.iter().any(|part| part == "tests")
}

#[test]
fn modules_import_only_what_stands_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let modules: BTreeSet<String> = source_files().iter().map(|path| module(path)).collect();
    let mut wrong = Vec::new();
    for path in source_files().iter().filter(|path| !is_test_file(path)) {
        let own = module(path);
        let may = allowed.get(own.as_str()).copied().unwrap_or_default();
        for other in used(&code(path)) {
            let fine = other == own
                || !modules.contains(&other)
                || FOR_EVERYONE.contains(&other.as_str())
                || may.contains(&other.as_str());
            if !fine {
                wrong.push(format!("{}: {own} must not use {other}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_of_directions_has_no_cycle_and_a_bottom() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    for (name, uses) in &allowed {
        assert!(!BOTTOM.contains(name) || uses.is_empty(), "{name} stands at the bottom");
        let (mut below, mut next) = (BTreeSet::new(), uses.to_vec());
        while let Some(module) = next.pop() {
            if below.insert(module) {
                next.extend(allowed.get(module).copied().unwrap_or_default());
            }
        }
        assert!(!below.contains(name), "{name} stands below itself");
    }
}

#[test]
fn every_file_says_what_it_is_and_none_is_too_long() {
    for path in source_files() {
        let text = std::fs::read_to_string(&path).expect("source");
        assert!(text.starts_with("//!"), "{} has no header", path.display());
        assert!(text.lines().count() <= 600, "{} is too long", path.display());
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let code = "use crate::store::{Store, Memo};\n\
                use crate::{dag, stage::{extract, quality}, task::TaskId};\n\
                let x = crate::frame::read();\nuse mp::cli;\n";
    let want = ["cli", "dag", "frame", "stage", "store", "task"];
    assert_eq!(used(code).iter().map(String::as_str).collect::<Vec<_>>(), want);
}
