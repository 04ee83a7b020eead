//! Peak resident memory on inputs made to exhaust it.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::events::{CSV_HEADER, Line, When, World};
use crate::project::Project;

const LIMIT_MB: u64 = 128;
const MIB: usize = 1 << 20;

fn project() -> Project {
    let mut project = Project::empty()
        .with("processing.max_memory_mb", json!(LIMIT_MB))
        .with("processing.max_reject_rate", json!(1.0))
        .with("quality.enable_quality_checks", json!(false));
    let when = When::november(30);
    project.write_world(&World::of(
        vec![Line::shown(&when, Some(0), "point", "1")],
        vec![Line::shown(&when, Some(0), "point", "1")],
        vec![Line::paid(&when, 100, "point", "1")],
    ));
    project
}

/// Runs everything; the most memory that was resident, in bytes.
fn peak(project: &Project) -> u64 {
    let mut command = project.command(&["run", "--all", "-q"]);
    command.stdout(Stdio::null()).stderr(Stdio::inherit());
    let mut child = command.spawn().expect("mp starts");
    let status = format!("/proc/{}/status", child.id());
    let (mut peak_kb, mut huge_pages) = (0, None);
    let code = loop {
        // The high-water mark only rises, so the last reading before the end is the peak.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak_kb = kb.unwrap_or(peak_kb);
        let huge = text.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        huge_pages = huge.map(|value| value.trim() == "1").or(huge_pages);
        if let Some(code) = child.try_wait().expect("a child") {
            break code;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(code.success(), "{code}");
    assert!(peak_kb > 0, "no reading of {status}");
    // Whether the kernel hands out pages of 2 MiB depends on the machine: the promise may not.
    assert_ne!(huge_pages, Some(true), "huge pages are not switched off");
    peak_kb * 1024
}

#[track_caller]
fn assert_within_the_limit(project: &Project) {
    let (peak, limit) = (peak(project), LIMIT_MB * MIB as u64);
    println!("peak {} MiB of {LIMIT_MB}", peak / MIB as u64);
    assert!(peak <= limit, "{} MiB resident, {LIMIT_MB} promised", peak / MIB as u64);
}

/// A gz file of `times` copies of a block.
fn gz(block: &[u8], times: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for _ in 0..times {
        encoder.write_all(block).expect("compressed");
    }
    encoder.finish().expect("compressed")
}

#[test]
fn a_json_line_of_64_mib_without_an_end_is_one_rejected_row() {
    let project = project();
    let mut line = br#"{"day": ""#.to_vec();
    line.resize(64 * MIB, b'x');
    project.write("data/raw/prints.json", line);
    assert_within_the_limit(&project);
    assert_eq!(project.view().count("extract.prints", "rows_rejected"), 1);
}

#[test]
fn a_csv_line_of_64_mib_without_an_end_is_one_rejected_row() {
    let project = project();
    let mut text = format!("{CSV_HEADER}\n\"").into_bytes();
    text.resize(64 * MIB, b',');
    project.write("data/raw/pays.csv", text);
    assert_within_the_limit(&project);
    assert_eq!(project.view().count("extract.payments", "rows_rejected"), 1);
}

#[test]
fn a_csv_header_of_64_mib_is_an_input_error() {
    let project = project();
    project.write("data/raw/pays.csv", vec![b'x'; 64 * MIB]);
    let outcome = project.mp(&["run", "--all"]).fails(3).says(&["pays.csv"]);
    assert!(outcome.stderr.len() < 20_000, "the message is for a person");
}

#[test]
fn a_small_gz_file_that_unpacks_to_one_endless_line_is_one_rejected_row() {
    let project = project().with("sources.prints.files", json!(["p.json.gz"]));
    project.write("data/raw/p.json.gz", gz(&vec![b'x'; MIB], 512));
    assert_within_the_limit(&project);
    assert_eq!(project.view().count("extract.prints", "rows_rejected"), 1);
}

#[test]
fn a_small_gz_file_that_unpacks_to_many_rows_stays_within_the_limit() {
    let project = project().with("sources.prints.files", json!(["p.json.gz"]));
    let line = Line::shown(&When::november(30), Some(1), "point", "1").text + "\n";
    let block = line.repeat(10_000);
    project.write("data/raw/p.json.gz", gz(block.as_bytes(), 150));
    assert_within_the_limit(&project);
    assert_eq!(project.view().count("extract.prints", "rows_read"), 1_500_000);
    assert_eq!(project.view().count("preprocess.prints", "duplicates"), 1_499_999);
}

#[test]
fn a_file_of_nothing_but_bad_lines_stays_within_the_limit() {
    let project = project();
    let line = format!("{{\"day\": \"{}\"}}\n", "2020-11-40 ".repeat(80));
    project.write("data/raw/prints.json", line.repeat(100_000));
    assert_within_the_limit(&project);
    assert_eq!(project.view().count("extract.prints", "rows_rejected"), 100_000);
}

#[test]
fn one_user_who_owns_every_row_stays_within_the_limit() {
    let project = project();
    let mut text = String::new();
    for n in 0..400_000_i64 {
        let when = When::november(1 + n % 30);
        text += &Line::shown(&when, Some(n / 30), "point", "1").text;
        text.push('\n');
    }
    project.write("data/raw/prints.json", text);
    assert_within_the_limit(&project);
    assert_eq!(project.view().count("preprocess.prints", "rows_silver"), 400_000);
}

/// Prints of November, whose user and value prop depend on their number.
fn write_prints(project: &Project, rows: i64, name: impl Fn(i64) -> (String, String)) {
    let mut text = String::new();
    for n in 0..rows {
        let (user, prop) = name(n);
        text += &Line::shown(&When::november(1 + n % 30), Some(0), &prop, &user).text;
        text.push('\n');
    }
    project.write("data/raw/prints.json", text);
}

#[test]
fn ids_of_the_greatest_length_stay_within_the_limit() {
    let project = project();
    write_prints(&project, 250_000, |n| {
        (format!("{}{n:010}", "😀".repeat(90)), "point".to_owned())
    });
    assert_within_the_limit(&project);
}

#[test]
fn value_props_without_number_stay_within_the_limit() {
    let project = project();
    write_prints(&project, 250_000, |n| (format!("u{}", n % 9_999), format!("v{n:099}")));
    assert_within_the_limit(&project);
}

#[test]
fn one_user_of_value_props_without_number_stays_within_the_limit() {
    let project = project();
    write_prints(&project, 250_000, |n| ("u".to_owned(), format!("v{n:099}")));
    assert_within_the_limit(&project);
}

#[test]
fn many_threads_stay_within_the_limit() {
    let project = project().with("processing.n_workers", json!(32));
    write_prints(&project, 600_000, |n| ((n * 7_919 % 100_003).to_string(), "point".to_owned()));
    assert_within_the_limit(&project);
}
