//! The display: what each mode prints for the events of a run.

use super::*;
use crate::exit_code::ExitCode;
use serde_json::Map;

fn printed(mode: Mode, events: &[(u64, Event<'_>)]) -> String {
    let console = Console::new(false);
    let display = Display::new(console.clone(), mode);
    for (seconds, event) in events {
        display.show(event, Duration::from_secs(*seconds));
    }
    console.heard.lock().unwrap().clone()
}

fn started(task: &str) -> Event<'_> {
    Event::Started { task, index: 1, total: 3, reasons: &[] }
}

fn rows(task: &str, done: u64) -> Event<'_> {
    Event::Advanced { task, done, total: Some(10_000), unit: Unit::Rows }
}

#[test]
fn a_run_without_a_terminal_is_a_list_of_lines() {
    let counts = Map::new();
    let events = [
        (0, Event::PlanReady { total: 4, to_run: 3 }),
        (0, Event::UpToDate { task: "extract.taps" }),
        (0, started("extract.prints")),
        (1, Event::Waiting { task: "extract.payments", holder: "pid 7" }),
        (
            9,
            Event::Finished {
                task: "extract.prints",
                seconds: 9.0,
                counts: &counts,
                restored_from: None,
            },
        ),
        (9, Event::Warning { task: "preprocess.prints", text: "12 rows are not yet" }),
        (
            9,
            Event::Failed {
                task: "extract.payments",
                seconds: 1.0,
                exit: ExitCode::Input,
                message: "no file",
                hint: Some("make one"),
            },
        ),
        (
            9,
            Event::Retrying {
                task: "extract.prints",
                message: "no room",
                after: "5s",
                retry: 2,
                of: 3,
            },
        ),
        (9, Event::Blocked { task: "features", by: "extract.payments" }),
        (9, Event::NotBegun { task: "extract.prints" }),
        (
            9,
            Event::AllDone {
                done: 1,
                up_to_date: 1,
                failed: 1,
                blocked: 1,
                not_begun: 1,
                stopped: 1,
                seconds: 9.5,
            },
        ),
    ];
    assert_eq!(
        printed(Mode::Lines, &events),
        "⏭️  up to date: extract.taps\n\
         📈 [1/4] (25.0%) processed extract.taps\n\
         🚀 start: extract.prints\n\
         ⏳ waiting for pid 7 (extract.payments)\n\
         ✅ done: extract.prints (duration: 9.00s)\n\
         📈 [2/4] (50.0%) processed extract.prints\n\
         ⚠️  preprocess.prints: 12 rows are not yet\n\
         ❌ failed: extract.payments: no file\n   hint: make one\n\
         🔁 retrying in 5s (2 of 3): extract.prints: no room\n\
         🚧 blocked: features by extract.payments\n\
         ⏸️  not begun: extract.prints, for another task failed\n\
         🏁 1 done, 1 up to date, 1 failed, 1 blocked, 1 not begun, 1 stopped (duration: 9.50s)\n"
    );
    assert_eq!(
        printed(Mode::Quiet, &events),
        "❌ failed: extract.payments: no file\n   hint: make one\n\
         🚧 blocked: features by extract.payments\n"
    );
    assert_eq!(printed(Mode::Hidden, &events), "");
}

#[test]
fn long_work_gives_a_line_every_five_seconds_at_most() {
    let events: Vec<(u64, Event<'_>)> = std::iter::once((0, started("extract.prints")))
        .chain((1..=12).map(|second| (second, rows("extract.prints", second * 500))))
        .collect();
    assert_eq!(
        printed(Mode::Lines, &events),
        "🚀 start: extract.prints\n\
         📈 [2,500/10,000 rows] (25.0%) extract.prints: 500 rows/s, ETA 0:15\n\
         📈 [5,000/10,000 rows] (50.0%) extract.prints: 500 rows/s, ETA 0:10\n"
    );
}

#[test]
fn steps_are_counted_as_they_are_done_and_have_a_pace_of_their_own() {
    let counts = Map::new();
    let step = |name, index| Event::Step { task: "features", name, index, total: 2 };
    let events = [
        (0, started("features")),
        (0, step("sort", 1)),
        (4, rows("features", 4_000)),
        (4, step("merge", 2)),
        (6, rows("features", 200)),
        (
            7,
            Event::Finished {
                task: "features",
                seconds: 7.0,
                counts: &counts,
                restored_from: Some("7-1"),
            },
        ),
    ];
    assert_eq!(
        printed(Mode::Lines, &events),
        "🚀 start: features\n\
         📈 [1/2] (50.0%) processed features: sort\n\
         📈 [200/10,000 rows] (2.0%) features: merge: 100 rows/s, ETA 1:38\n\
         📈 [2/2] (100.0%) processed features: merge\n\
         ♻️  restored: features from run 7-1 (duration: 7.00s)\n"
    );
}

#[test]
fn a_single_task_is_not_counted() {
    let events =
        [(0, Event::PlanReady { total: 1, to_run: 0 }), (0, Event::UpToDate { task: "features" })];
    assert_eq!(printed(Mode::Lines, &events), "⏭️  up to date: features\n");
}

#[test]
fn with_bars_only_what_is_over_is_a_line() {
    let counts = Map::new();
    let events = [
        (0, Event::PlanReady { total: 2, to_run: 2 }),
        (0, started("features")),
        (7, rows("features", 200)),
        (
            9,
            Event::Finished {
                task: "features",
                seconds: 9.0,
                counts: &counts,
                restored_from: None,
            },
        ),
    ];
    assert_eq!(printed(Mode::Bars, &events), "✅ done: features (duration: 9.00s)\n");
}

#[test]
fn events_of_unknown_tasks_are_no_trouble() {
    let step = Event::Step { task: "ghost", name: "sort", index: 1, total: 2 };
    assert_eq!(printed(Mode::Lines, &[(0, rows("ghost", 1)), (9, step)]), "");
}

#[test]
fn only_the_first_line_of_a_message_is_logged() {
    assert_eq!(first_line("broken\n  user_id `7`"), "broken");
    assert_eq!(first_line(""), "");
}
