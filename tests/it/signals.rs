//! SIGINT and SIGTERM, in every stage and in every kind of wait: clean, with their exit code, and the
//! next run goes on from there.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::locks::hold;
use crate::outcome::Outcome;
use crate::project::Project;

const SIGNALS: [(&str, i32); 2] = [("-INT", 130), ("-TERM", 143)];
/// A stage may be over before the signal comes; so often in a row it is not.
const ATTEMPTS: usize = 20;

/// A run whose lines on stderr are read as they come.
struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Running {
    fn start(project: &Project, args: &[&str]) -> Running {
        let mut command = project.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("mp starts");
        let stderr = BufReader::new(child.stderr.take().expect("its stderr"));
        Running { child, stderr, said: String::new() }
    }

    /// Reads until a line holds these words.
    fn until(&mut self, words: &str) {
        loop {
            let mut line = String::new();
            self.stderr.read_line(&mut line).expect("a line");
            assert!(!line.is_empty(), "it never said {words:?}: {}", self.said);
            self.said.push_str(&line);
            if line.contains(words) {
                return;
            }
        }
    }

    fn kill(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
    }

    fn end(mut self) -> Outcome {
        self.stderr.read_to_string(&mut self.said).expect("the rest");
        let status = self.child.wait().expect("its end");
        let output =
            std::process::Output { status, stdout: Vec::new(), stderr: self.said.into_bytes() };
        Outcome::new("mp run, and a signal".to_owned(), output)
    }
}

/// Enough rows for every stage to take a while.
fn a_while() -> Project {
    let project = Project::empty();
    let synth =
        ["synth", "data/raw", "--prints", "600000", "--taps", "60000", "--payments", "600000"];
    project.mp(&synth).success();
    project
}

/// What a run that was stopped, and was not ended by force, leaves nothing of.
fn assert_tidy(project: &Project, outcome: &Outcome) {
    let tmp = project.path("data/.mp/tmp");
    let left: Vec<_> = tmp.read_dir().into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?} after {outcome}");
    let manifests = project.path("data/processed/_manifests");
    let failed = |path: &Path| path.to_string_lossy().ends_with(".failed.json");
    let names = manifests.read_dir().expect("manifests").map(|entry| entry.expect("one").path());
    assert!(!names.into_iter().any(|path| failed(&path)), "a stop is no failure: {outcome}");
}

#[test]
fn a_stop_in_any_stage_is_clean_and_leaves_the_good_results() {
    let project = a_while();
    project.mp(&["run", "--all"]).success();
    for task in ["extract.prints", "preprocess.prints", "features", "quality"] {
        for (signal, code) in SIGNALS {
            let stopped = (0..ATTEMPTS).find_map(|_| {
                let mut run = Running::start(&project, &["run", task, "--force", "--jobs", "1"]);
                run.until(&format!("start: {task}"));
                run.kill(signal);
                Some(run.end()).filter(|outcome| outcome.code != 0)
            });
            let outcome = stopped.expect("a signal that came in time").fails(code);
            assert!(outcome.stderr.contains(&format!("stopped: {task}")), "{outcome}");
            assert_tidy(&project, &outcome);
            project.mp(&["status", "--exit-code"]).success();
        }
    }
}

#[test]
fn the_next_run_goes_on_with_what_is_done() {
    let project = a_while();
    let mut run = Running::start(&project, &["run", "--all", "--jobs", "1"]);
    run.until("start: preprocess.prints");
    run.kill("-TERM");
    let outcome = run.end().fails(143);
    assert_tidy(&project, &outcome);
    let next = project.mp(&["run", "--all"]).success();
    for task in ["extract.payments", "extract.prints", "extract.taps", "preprocess.payments"] {
        assert!(next.stderr.contains(&format!("up to date: {task}")), "{next}");
    }
    project.mp(&["status", "--exit-code"]).success();
}

#[test]
fn a_stop_ends_every_kind_of_wait() {
    let project = Project::november();
    for (signal, code) in SIGNALS {
        let lock = hold(&project, "extract.taps");
        let mut run = Running::start(&project, &["run", "extract.taps", "--lock-timeout", "1h"]);
        run.until("waiting for process 4194999");
        run.kill(signal);
        run.end().fails(code);
        drop(lock);
    }
    std::fs::remove_file(project.path("data/raw/taps.json")).expect("removed");
    for (signal, code) in SIGNALS {
        let again = ["run", "extract.taps", "--retries", "3", "--retry-delay", "1h"];
        let mut run = Running::start(&project, &again);
        run.until("retrying in 1h (1 of 3)");
        run.kill(signal);
        let outcome = run.end().fails(code);
        assert!(outcome.stderr.contains("stopped: extract.taps"), "{outcome}");
    }
}

#[test]
fn a_line_without_end_does_not_keep_a_run_from_stopping() {
    let project = Project::november();
    // Zeros that take no room: a single line of many seconds of reading.
    let raw = std::fs::File::create(project.path("data/raw/taps.json")).expect("a file");
    raw.set_len(200 << 30).expect("a long file");
    let mut run = Running::start(&project, &["run", "extract.taps"]);
    run.until("start: extract.taps");
    run.kill("-INT");
    let outcome = run.end().fails(130);
    assert_tidy(&project, &outcome);
}

#[test]
fn a_pipe_in_place_of_a_raw_file_is_refused_and_not_waited_for() {
    let project = Project::november();
    let path = project.path("data/raw/taps.json");
    std::fs::remove_file(&path).expect("removed");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    project.mp(&["run", "extract.taps"]).fails(3).says(&["taps.json"]);
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let project = Project::november();
    let lock = hold(&project, "extract.taps");
    let mut run = Running::start(&project, &["run", "extract.taps", "--lock-timeout", "1h"]);
    run.until("waiting for");
    run.kill("-INT");
    run.kill("-INT");
    run.end().fails(130);
    drop(lock);
    project.mp(&["run", "extract.taps"]).success();
}
