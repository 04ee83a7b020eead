//! Streams that are closed, broken or full: no command panics, and none hangs.

use std::process::{Command, Stdio};

use crate::outcome::Outcome;
use crate::project::Project;

/// Every command of `mp --help`, in a form that answers.
const COMMANDS: [(&str, &[&str]); 25] = [
    ("extract", &["extract"]),
    ("preprocess", &["preprocess"]),
    ("features", &["features"]),
    ("quality", &["quality"]),
    ("run", &["run", "--all", "--force"]),
    ("plan", &["plan"]),
    ("explain", &["explain", "features"]),
    ("status", &["status"]),
    ("runs", &["runs"]),
    ("show", &["show"]),
    ("diff", &["diff"]),
    ("retry", &["retry"]),
    ("verify", &["verify"]),
    ("verify", &["verify", "--rebuild"]),
    ("gc", &["gc"]),
    ("graph", &["graph", "--format", "mermaid"]),
    ("config", &["config", "show", "--origin"]),
    ("airflow", &["airflow", "dag", "--operator", "bash"]),
    ("synth", &["synth", "more", "--prints", "10", "--force"]),
    ("head", &["head", "gold"]),
    ("export", &["export", "prints", "--csv", "-"]),
    ("doctor", &["doctor"]),
    ("completions", &["completions", "bash"]),
    ("help", &["--help"]),
    ("nothing", &["rum"]),
];

/// The shell's words for a stream that is no good.
const BROKEN: [&str; 8] = [
    ">&-",
    "2>&-",
    ">&- 2>&-",
    "</dev/null >&- 2>&- <&-",
    "| true",
    "2>&1 >/dev/null | true",
    "2>/dev/full",
    ">&- 2>/dev/full",
];

fn shell(project: &Project, args: &[&str], broken: &str) -> Outcome {
    let mp = env!("CARGO_BIN_EXE_mp");
    let (redirection, pipe) = match broken.split_once('|') {
        Some((redirection, _)) => (redirection, "| true; exit ${PIPESTATUS[0]}"),
        None => (broken, ""),
    };
    let script = format!("\"$0\" \"$@\" {redirection} {pipe}");
    let mut command = project.command(&[]);
    let env: Vec<_> = command
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
        .collect();
    command = Command::new("bash");
    for (name, value) in env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(project.root()).args(["-c", &script, mp]).args(args);
    let output = command.stdin(Stdio::null()).output().expect("a shell");
    Outcome::new(format!("mp {} {broken}", args.join(" ")), output)
}

#[test]
fn every_command_is_in_the_table() {
    let help = Project::empty().mp(&["--help"]).success();
    let lines = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in lines.take_while(|line| !line.is_empty()) {
        // What is longer than a line goes on further to the right.
        let Some(name) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) else {
            continue;
        };
        let name = name.split_whitespace().next().expect("a name");
        assert!(COMMANDS.iter().any(|(known, _)| *known == name), "{name} is not tried");
    }
}

#[test]
fn a_broken_stream_is_no_panic_and_changes_no_exit_code() {
    let project = Project::november();
    project.run_all();
    for (_, args) in COMMANDS {
        for json in [&[][..], &["--json"]] {
            let args = [args, json].concat();
            let usual = project.mp(&args).code;
            for broken in BROKEN {
                let outcome = shell(&project, &args, broken);
                assert_eq!(outcome.code, usual, "{outcome}");
                assert!(!outcome.all().contains("panicked"), "{outcome}");
            }
        }
    }
    project.run_all();
}

#[test]
fn a_disk_that_is_full_for_the_result_is_an_error_with_words() {
    let project = Project::november();
    project.run_all();
    for args in [&["plan"][..], &["status"], &["head", "gold"], &["run", "--all"]] {
        let outcome = shell(&project, args, ">/dev/full");
        assert_eq!(outcome.code, 1, "{outcome}");
        assert!(outcome.stderr.contains("cannot write to stdout"), "{outcome}");
    }
}
