//! Many days side by side: thirty days of files, runs as of several of them in `{as_of}` folders.

use chrono::DateTime;
use serde_json::json;

use crate::events::{SOURCES, Source, When, World};
use crate::naive::{self, Dedupe, Rules};
use crate::project::Project;
use crate::snapshot::Snapshot;

/// November, one file for each source and day.
fn by_day() -> World {
    let mut world = World::default();
    for source in SOURCES {
        let extension = if source == Source::Payments { "csv" } else { "json" };
        for lines in World::november(3, false).files(source).values() {
            for line in lines {
                let micros = line.event.as_ref().expect("a good line").micros;
                let day = DateTime::from_timestamp_micros(micros).expect("a time").date_naive();
                let name = format!("{}/{day}.{extension}", source.name());
                world.files_mut(source).entry(name).or_default().push(line.clone());
            }
        }
        assert_eq!(world.files(source).len(), 30, "something on each day");
    }
    world
}

fn project() -> Project {
    let mut project = Project::empty()
        .with("data_paths.processed", json!("data/{as_of}/processed"))
        .with("data_paths.output", json!("data/{as_of}/output"))
        .with("quality.quality_report_path", json!("data/{as_of}/reports"));
    for (source, pattern) in SOURCES.into_iter().zip(["*.json", "*.json", "*.csv"]) {
        let name = source.name();
        project.set(&format!("sources.{name}.files"), json!([format!("{name}/{pattern}")]));
    }
    project
}

/// Writes the files of these days without naming them in the settings.
fn arrive(project: &Project, world: &World, days: std::ops::RangeInclusive<i64>) {
    let mut scratch = Project::empty();
    scratch.write_world(world);
    for source in SOURCES {
        for name in world.files(source).keys() {
            let day: i64 =
                name.split(['-', '.']).nth(2).and_then(|d| d.parse().ok()).expect("a day");
            if days.contains(&day) {
                let file = format!("data/raw/{name}");
                project.write(&file, scratch.read(&file));
            }
        }
    }
}

fn date(day: i64) -> String {
    When::november(day).text
}

#[track_caller]
fn assert_gold_of(project: &Project, world: &World, day: i64) {
    let rules = Rules {
        as_of_us: When::november(day + 1).micros,
        dedupe: [Dedupe::Drop, Dedupe::Drop, Dedupe::Keep],
        target_days: 7,
        lookback_days: 21,
    };
    let want = naive::expect(world, &rules).gold.rows;
    assert!(want.len() > 50);
    assert_eq!(project.view_of(&date(day)).gold().rows, want, "as of day {day}");
}

/// (parsed, reused) files of one source.
fn files(project: &Project, day: i64, source: Source) -> (u64, u64) {
    let view = project.view_of(&date(day));
    let task = format!("extract.{}", source.name());
    (view.count(&task, "files_parsed"), view.count(&task, "files_reused"))
}

#[test]
fn each_day_gives_its_own_gold_no_file_is_parsed_twice_and_a_day_done_is_left_alone() {
    let (project, world) = (project(), by_day());
    arrive(&project, &world, 1..=30);
    for day in [25, 28, 30] {
        project.run_all_with(&["--as-of", &date(day)]);
        assert_gold_of(&project, &world, day);
        for source in SOURCES {
            assert_eq!(files(&project, day, source), (30, 0));
            let made = |day| {
                let task = format!("extract.{}", source.name());
                project.view_of(&date(day)).manifest(&task)["run"].clone()
            };
            assert_eq!(made(day), made(25), "{source:?} as of day {day} is restored, not computed");
        }
    }
    let before = project.snapshot();
    let again = project.mp(&["run", "--all", "--as-of", &date(25)]).success();
    assert!(again.all().contains("up to date"), "{again}");
    before.assert_same(&project.snapshot());
    for day in [25, 28, 30] {
        assert_gold_of(&project, &world, day);
    }
}

#[test]
fn of_a_folder_that_grows_only_the_new_files_are_parsed() {
    let (project, world) = (project(), by_day());
    for (days, new, old) in [(1..=25, 25, 0), (26..=28, 3, 25), (29..=30, 2, 28)] {
        let day = *days.end();
        arrive(&project, &world, days);
        project.run_all_with(&["--as-of", &date(day)]);
        assert_gold_of(&project, &world, day);
        for source in SOURCES {
            assert_eq!(files(&project, day, source), (new, old), "{source:?} as of day {day}");
        }
    }
}

#[test]
fn a_backfill_over_a_folder_that_has_grown_gives_what_the_run_of_that_day_gave() {
    let (project, world) = (project(), by_day());
    arrive(&project, &world, 1..=25);
    project.run_all_with(&["--as-of", &date(25)]);
    let gold = project.read("data/2020-11-25/output/training_dataset.parquet");
    arrive(&project, &world, 26..=30);
    project.run_all_with(&["--as-of", &date(25)]);
    assert_eq!(project.read("data/2020-11-25/output/training_dataset.parquet"), gold);
    for source in SOURCES {
        assert_eq!(files(&project, 25, source), (5, 25), "{source:?}");
    }
}

#[test]
fn a_day_is_repaired_without_touching_the_others() {
    let (project, world) = (project(), by_day());
    arrive(&project, &world, 1..=30);
    for day in [25, 28] {
        project.run_all_with(&["--as-of", &date(day)]);
    }
    let of = |day: i64| Snapshot::of(&project.path("data")).only(&format!("{}/", date(day)));
    let before = of(25);
    std::fs::remove_file(project.view_of(&date(28)).gold_path()).expect("removed");
    project.run_all_with(&["--as-of", &date(28)]);
    before.assert_same(&of(25));
    assert_gold_of(&project, &world, 28);
}

#[test]
fn an_old_day_stays_up_to_date_when_its_results_are_no_longer_kept() {
    let mut project = project().with("store.keep", json!(1));
    let world = by_day();
    arrive(&project, &world, 1..=30);
    for day in [26, 27, 28] {
        project.run_all_with(&["--as-of", &date(day)]);
    }
    let before = project.snapshot();
    project.mp(&["run", "--all", "--as-of", &date(26)]).success();
    before.assert_same(&project.snapshot());
    project.set("processing.lookback_window_days", json!(20));
    project.run_all_with(&["--as-of", &date(26)]);
}

#[test]
fn the_folder_of_an_instant_is_its_timestamp_without_punctuation() {
    let (project, world) = (project(), by_day());
    arrive(&project, &world, 1..=30);
    let at = ["run", "--all", "--as-of", "2020-11-29T16:00:00-03:00"];
    project.mp(&at).success();
    let before = project.snapshot();
    project.mp(&at).success();
    before.assert_same(&project.snapshot());
    let folders: Vec<String> = std::fs::read_dir(project.path("data"))
        .expect("data")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("2020"))
        .collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    let plain = |c: char| c.is_ascii_alphanumeric();
    assert!(folders[0].chars().all(plain), "no punctuation: {folders:?}");
    assert!(folders[0].starts_with("20201129T"), "{folders:?}");
}

/// Days whose extract gives a result of its own: the bound on old rows lies in November.
fn days_that_differ() -> (Project, [i64; 6]) {
    let project = project()
        .with("validation.business_rules.min_timestamp_days_ago", json!(10))
        .with("processing.max_reject_rate", json!(1));
    arrive(&project, &by_day(), 1..=30);
    (project, [25, 26, 27, 28, 29, 30])
}

/// As Airflow does it where runs overlap: a stage for all days, then the next.
fn stage_for_all(project: &Project, days: &[i64], stage: &str) {
    for day in days {
        project.mp(&[stage, "--as-of", &date(*day)]).success();
    }
}

fn count_in(project: &Project, folder: &str) -> usize {
    let path = project.path("data/.mp").join(folder);
    std::fs::read_dir(path).map_or(0, Iterator::count)
}

fn gold(project: &Project, day: i64) -> Vec<u8> {
    project.read(&format!("data/{}/output/training_dataset.parquet", date(day)))
}

#[test]
fn days_that_overlap_do_not_take_each_others_results_away() {
    let (project, days) = days_that_differ();
    stage_for_all(&project, &days, "extract");
    assert_eq!(count_in(&project, "results/extract.prints"), 6, "each has its own");
    let before = project.snapshot();
    stage_for_all(&project, &days, "extract");
    before.assert_same(&project.snapshot());
    for stage in ["preprocess", "features", "quality"] {
        stage_for_all(&project, &days, stage);
    }
    assert_eq!(count_in(&project, "awaited/extract.prints"), 0);
    assert_eq!(count_in(&project, "results/extract.prints"), 3, "what was read counts as ever");
    let (alone, _) = days_that_differ();
    for day in [25, 28] {
        alone.run_all_with(&["--as-of", &date(day)]);
        assert_eq!(gold(&project, day), gold(&alone, day), "as of day {day}");
    }
}

#[test]
fn days_that_were_done_can_be_run_again_side_by_side() {
    let (mut project, days) = days_that_differ();
    for stage in ["extract", "preprocess"] {
        stage_for_all(&project, &days, stage);
    }
    assert_eq!(count_in(&project, "results/extract.prints"), 3);
    project.set("preprocess.dedupe.prints", json!("flag"));
    for stage in ["extract", "preprocess", "features", "quality"] {
        stage_for_all(&project, &days, stage);
    }
    assert_eq!(count_in(&project, "results/extract.prints"), 3);
    // What is known of raw files by their times may be written down as soon as they are old enough.
    let all_but_memo = || project.snapshot().without("data/.mp/memo");
    let before = all_but_memo();
    stage_for_all(&project, &days, "extract");
    before.assert_same(&all_but_memo());
}
