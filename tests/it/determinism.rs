//! The same input gives the same bytes, whatever the threads, chunks, memory or folder, and the
//! same Gold however the lines are cut into files.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::events::{Dice, Files, Source, When, World};
use crate::naive::{self, Dedupe, Rules};
use crate::project::Project;

fn world() -> World {
    World::november(2, true)
}

fn project(settings: &[(&str, Value)]) -> Project {
    let mut project = Project::empty();
    for (key, value) in settings {
        project.set(key, value.clone());
    }
    project.write_world(&world());
    project
}

fn bytes_of(project: &Project, args: &[&str]) -> BTreeMap<String, String> {
    project.run_all_with(args);
    project.view().fingerprints()
}

#[track_caller]
fn same_as_plain(project: &Project, args: &[&str]) {
    assert_eq!(bytes_of(project, args), bytes_of(&self::project(&[]), &[]));
}

#[test]
fn the_month_that_these_tests_use_is_what_the_naive_model_says() {
    let project = project(&[]);
    project.run_all();
    let expected = naive::expect(
        &world(),
        &Rules {
            as_of_us: When::november(31).micros,
            dedupe: [Dedupe::Drop, Dedupe::Drop, Dedupe::Keep],
            target_days: 7,
            lookback_days: 21,
        },
    );
    let gold = project.view().gold();
    assert!(gold.rows.len() > 100, "a month with something in it");
    assert_eq!(gold.rows, expected.gold.rows);
}

#[test]
fn a_second_clean_run_in_another_folder_gives_the_same_bytes() {
    same_as_plain(&project(&[]), &[]);
}

#[test]
fn a_forced_run_in_the_same_folder_gives_the_same_bytes() {
    let project = project(&[]);
    let before = bytes_of(&project, &[]);
    project.mp(&["run", "--all", "--force"]).success();
    assert_eq!(project.view().fingerprints(), before);
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    same_as_plain(&project(&[("processing.n_workers", json!(1))]), &[]);
    same_as_plain(&project(&[("processing.n_workers", json!(2))]), &[]);
    same_as_plain(&project(&[("processing.parallel_processing", json!(false))]), &[]);
    same_as_plain(&project(&[]), &["--jobs", "1"]);
    same_as_plain(&project(&[]), &["--jobs", "2"]);
}

#[test]
fn little_and_much_memory_give_the_same_bytes() {
    same_as_plain(&project(&[("processing.max_memory_mb", json!(128))]), &[]);
    same_as_plain(&project(&[("processing.max_memory_mb", json!(4096))]), &[]);
}

#[test]
fn chunks_of_one_and_of_ten_thousand_rows_give_the_same_bytes() {
    same_as_plain(&project(&[("processing.chunk_size", json!(1))]), &[]);
    same_as_plain(&project(&[("processing.chunk_size", json!(10_000))]), &[]);
}

#[test]
fn the_tiny_setting_is_in_force_and_no_reason_to_run_again() {
    let objects = |project: &Project| {
        project.run_all();
        let outputs = project.view().manifest("extract.prints")["outputs"].clone();
        outputs.as_array().expect("outputs").iter().map(|o| o["bytes"].as_u64()).max()
    };
    let (plain, tiny) = (project(&[]), project(&[]).tiny());
    assert!(objects(&tiny) > objects(&plain), "many small blocks take more room than one");
    let before = plain.view().runs();
    plain.mp_env(&["run", "--all"], "MP_TEST_TINY", "1").success();
    assert_eq!(plain.view().ran_since(&before), Vec::<&str>::new());
}

/// The rows of every table in order, and the bytes of the rejects: row groups of tiny runs end
/// elsewhere.
fn rows_of(project: &Project, args: &[&str]) -> (Vec<Vec<Vec<String>>>, Vec<Vec<u8>>) {
    project.run_all_with(args);
    let view = project.view();
    let sources = [Source::Prints, Source::Taps, Source::Payments];
    let mut rows: Vec<_> = sources.iter().map(|&source| view.silver(source).rows).collect();
    rows.push(view.gold().rows);
    let rejects = sources.map(|source| std::fs::read(view.rejects_path(source)).expect("rejects"));
    (rows, rejects.into())
}

#[test]
fn tiny_runs_blocks_and_buffers_give_the_same_rows() {
    assert_eq!(rows_of(&project(&[]).tiny(), &[]), rows_of(&project(&[]), &[]));
}

#[test]
fn tiny_runs_give_the_same_bytes_whatever_the_threads_and_the_memory() {
    let tiny = bytes_of(&project(&[]).tiny(), &[]);
    let one = project(&[("processing.n_workers", json!(1))]).tiny();
    assert_eq!(bytes_of(&one, &[]), tiny);
    let small = [("processing.max_memory_mb", json!(128)), ("processing.chunk_size", json!(1))];
    assert_eq!(bytes_of(&project(&small).tiny(), &["--jobs", "2"]), tiny);
}

#[test]
fn tiny_runs_give_the_same_rows_when_duplicates_are_flagged_or_kept() {
    for dedupe in ["flag", "keep"] {
        let settings = [
            ("preprocess.dedupe.prints", json!(dedupe)),
            ("preprocess.dedupe.taps", json!(dedupe)),
            ("preprocess.dedupe.payments", json!(dedupe)),
            ("quality.max_duplicate_percentage", json!(0.5)),
        ];
        let plain = rows_of(&project(&settings), &[]);
        assert_eq!(rows_of(&project(&settings).tiny(), &[]), plain, "{dedupe}");
    }
}

#[test]
fn an_absolute_raw_folder_gives_the_same_bytes() {
    let elsewhere = project(&[]);
    let raw = elsewhere.path("data/raw");
    let project = Project::empty().with("data_paths.raw", json!(raw));
    same_as_plain(&project, &[]);
}

/// The month with its prints cut into files, in order, at these lines.
fn cut(at: &[usize]) -> Project {
    let mut world = world();
    let mut rest = world.prints.remove("prints.json").expect("the file");
    let mut files = Files::new();
    for at in at.iter().rev() {
        files.insert(format!("prints-{at:06}.json"), rest.split_off(*at));
    }
    files.insert("prints-000000.json".to_owned(), rest);
    world.prints = files;
    let mut project = Project::empty();
    project.write_world(&world);
    project
}

#[test]
fn prints_in_one_file_or_cut_into_three_give_the_same_gold() {
    let one = project(&[]);
    let plain = bytes_of(&one, &[])["gold"].clone();
    for project in [cut(&[300, 301]), cut(&[10, 700])] {
        assert_eq!(project.run_all().code, 0);
        assert_eq!(project.view().fingerprints()["gold"], plain);
    }
    let tiny = cut(&[2, 4]).tiny();
    tiny.run_all();
    assert_eq!(tiny.view().gold().rows, one.view().gold().rows);
}

#[test]
fn shuffled_lines_give_the_same_rows() {
    let mut world = world();
    let mut dice = Dice(99);
    for source in [Source::Prints, Source::Taps, Source::Payments] {
        for lines in world.files_mut(source).values_mut() {
            dice.shuffle(lines);
        }
    }
    let plain = project(&[]);
    plain.run_all();
    let mut shuffled = Project::empty();
    shuffled.write_world(&world);
    shuffled.run_all();
    for source in [Source::Prints, Source::Taps, Source::Payments] {
        let rows =
            |project: &Project| project.view().silver(source).without("row_number").sorted().rows;
        assert_eq!(rows(&plain), rows(&shuffled), "{source:?}");
    }
    let gold = |project: &Project| project.view().fingerprints()["gold"].clone();
    assert_eq!(gold(&plain), gold(&shuffled));
}
