//! The reject limit, and what a rejected row looks like to a person.

use serde_json::json;

use crate::events::{Line, Source, When, World};
use crate::project::Project;
use crate::snapshot::Snapshot;

fn project(prints: Vec<Line>) -> Project {
    let mut project = Project::empty();
    let when = When::november(30);
    let taps = vec![Line::shown(&when, Some(0), "point", "1")];
    let payments = vec![Line::paid(&when, 500, "point", "1")];
    project.write_world(&World::of(prints, taps, payments));
    project
}

fn good(count: usize) -> Vec<Line> {
    let print = |n: usize| Line::shown(&When::november(30), Some(0), "point", &n.to_string());
    (1..=count).map(print).collect()
}

#[test]
fn a_rejected_row_shows_its_place_its_codes_the_offending_value_and_the_line_itself() {
    let mut lines = good(200);
    let bad =
        r#"{"day": "2020-11-40", "event_data": {"position": -7, "value_prop": ""}, "user_id": 1}"#;
    lines.insert(1, Line::bad(bad));
    let first = lines[0].text.len() + 1;
    let project = project(lines);
    project.run_all();
    let rejects = project.view().rejects(Source::Prints);
    assert_eq!(rejects.rows.len(), 1);
    let row = &rejects.rows[0];
    assert_eq!(row[..3], ["prints.json".to_owned(), "2".to_owned(), first.to_string()]);
    assert_eq!(row[3], "timestamp.invalid;value_prop.blank;position.negative");
    assert!(row[4].contains("2020-11-40") && row[4].contains("-7"), "{}", row[4]);
    assert_eq!(row[5], bad);
}

#[test]
fn invalid_utf8_is_made_visible_and_a_long_line_is_cut() {
    let project = project(good(1)).with("processing.max_reject_rate", json!(1.0));
    let long = format!(r#"{{"day": "{}"}}"#, "x".repeat(2_000_000));
    let mut bytes = b"{\"day\": \"caf\xe9\"}\n".to_vec();
    bytes.extend_from_slice(long.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(good(1)[0].text.as_bytes());
    project.write("data/raw/prints.json", bytes);
    project.run_all();
    let rejects = project.view().rejects(Source::Prints);
    assert_eq!(rejects.column("error_codes"), ["json.malformed", "json.malformed"]);
    assert_eq!(rejects.column("line"), ["1", "2"]);
    let raw = rejects.column("raw");
    assert!(raw[0].starts_with("{\"day\": \"caf") && raw[0].len() > 14, "{}", raw[0]);
    assert!(raw[1].len() <= 65_536 + 16, "{} bytes", raw[1].len());
    assert!(long.starts_with(&raw[1][..60_000]), "the beginning of the line");
}

#[test]
fn a_line_of_exactly_one_mebibyte_is_read_and_one_byte_more_is_not() {
    let project = project(good(1)).with("processing.max_reject_rate", json!(1.0));
    let line = |bytes: usize, user: u32| {
        let data = r#"{"value_prop":"point"}"#;
        let frame =
            format!(r#"{{"day":"2020-11-30","event_data":{data},"user_id":{user},"x":""}}"#);
        frame.replace(r#""x":"""#, &format!(r#""x":"{}""#, "y".repeat(bytes - frame.len())))
    };
    let text = format!("{}\r\n{}\n{}\r\n", line(1 << 20, 1), line((1 << 20) + 1, 2), line(100, 3));
    project.write("data/raw/prints.json", text);
    project.mp(&["extract", "--source", "prints"]).success();
    assert_eq!(project.view().rejects(Source::Prints).column("line"), ["2"]);
}

#[test]
fn more_rejects_than_the_limit_fail_the_extract_of_their_source_alone() {
    let mut lines = good(97);
    lines.extend([Line::bad("{"), Line::bad("["), Line::bad("nope")]);
    let mut project = project(lines);
    let outcome = project.mp(&["run", "--all", "-k"]).fails(4);
    outcome.says(&["prints", "3.00 %", "2.00 %", "json.malformed 3"]);
    let view = project.view();
    assert!(view.manifest_path("preprocess.taps").exists(), "others go on");
    assert!(view.failed_manifest_path("extract.prints").exists());
    assert!(!view.manifest_path("extract.prints").exists());
    assert!(!view.silver_path(Source::Prints).exists());
    project.set("processing.max_reject_rate", json!(0.03));
    project.run_all();
}

#[test]
fn a_failed_attempt_leaves_the_good_artifacts_and_stands_beside_them_until_the_next_success() {
    let project = Project::november();
    project.run_all();
    let good_prints = project.read("data/raw/prints.json");
    let published =
        |project: &Project| Snapshot::of(&project.path("data")).without("raw/").without(".mp/");
    let before = published(&project);
    let bad = [good_prints.as_slice(), "{\n".repeat(100).as_bytes()].concat();
    project.write("data/raw/prints.json", bad);
    project.mp(&["run", "--all"]).fails(4);
    let after = published(&project);
    let mut changed = before.changed(&after);
    changed.retain(|name| !name.ends_with(".lock"));
    let expected =
        ["processed/_manifests/extract.prints.failed.json", "processed/_rejects/prints.failed.csv"];
    assert_eq!(changed.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let failed = project.text("data/processed/_rejects/prints.failed.csv");
    assert!(failed.lines().count() >= 101, "every bad line is there to be looked at");
    project.write("data/raw/prints.json", good_prints);
    project.run_all();
    assert!(before.changed_content(&published(&project)).iter().all(|n| n.contains("_manifests/")));
    assert!(!project.path("data/processed/_rejects/prints.failed.csv").exists());
}

#[test]
fn when_most_rejects_are_too_old_the_message_names_the_dates_and_the_as_of_that_would_fit() {
    let when = When::new("2013-06-30");
    let lines = (0..50).map(|n| Line::shown(&when, Some(n), "point", "1")).collect();
    let project = project(lines);
    let outcome = project.mp(&["run", "--all"]).fails(4);
    outcome.says(&["2013-06-30", "--as-of", "timestamp.out_of_bounds"]);
}

#[test]
fn the_rejects_of_one_run_are_gone_when_the_next_has_none() {
    let mut lines = good(100);
    lines.push(Line::bad("{"));
    let project = project(lines);
    project.run_all();
    assert_eq!(project.view().rejects(Source::Prints).rows.len(), 1);
    let text: String = good(100).iter().map(|line| line.text.clone() + "\n").collect();
    project.write("data/raw/prints.json", text);
    project.run_all();
    assert_eq!(project.view().rejects(Source::Prints).rows.len(), 0);
}
