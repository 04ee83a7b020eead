//! Files, globs, compression, line ends, links and headers.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::events::{CSV_HEADER, Line, Source, When, World};
use crate::project::Project;

fn shown(day: i64, user: &str) -> String {
    Line::shown(&When::november(day), Some(0), "point", user).text
}

/// A project with one payment and one tap, whose prints a test writes itself.
fn project() -> Project {
    let mut project = Project::empty().with("processing.max_reject_rate", json!(0.0));
    let when = When::november(30);
    project.write_world(&World::of(
        vec![],
        vec![Line::shown(&when, Some(0), "point", "1")],
        vec![Line::paid(&when, 500, "point", "1")],
    ));
    project
}

fn gz(members: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for member in members {
        let mut encoder = GzEncoder::new(&mut bytes, Compression::default());
        encoder.write_all(member).expect("compressed");
        encoder.finish().expect("compressed");
    }
    bytes
}

/// (user_id, source_file, row_number) of the prints, in the order of files and rows.
fn prints(project: &Project) -> Vec<(String, String, String)> {
    let silver = project.view().silver(Source::Prints);
    let columns = ["user_id", "source_file", "row_number"].map(|name| silver.column(name));
    let mut rows: Vec<_> = (0..silver.rows.len())
        .map(|at| (columns[0][at].into(), columns[1][at].into(), columns[2][at].into()))
        .collect();
    rows.sort_by_key(|(_, file, row): &(String, String, String)| {
        (file.clone(), row.parse::<u64>().expect("a number"))
    });
    rows
}

fn row(user: &str, file: &str, row: u32) -> (String, String, String) {
    (user.to_owned(), file.to_owned(), row.to_string())
}

#[test]
fn all_members_of_a_gz_file_are_read() {
    let project = project().with("sources.prints.files", json!(["prints.json.gz"]));
    let (one, two) = (shown(29, "1") + "\n", shown(30, "2") + "\n" + &shown(30, "3"));
    // The second member starts in the middle of a line.
    let whole = format!("{one}{two}");
    let (head, tail) = whole.as_bytes().split_at(one.len() + 10);
    project.write("data/raw/prints.json.gz", gz(&[head, b"", tail]));
    project.run_all();
    let name = "prints.json.gz";
    assert_eq!(prints(&project), [row("1", name, 0), row("2", name, 1), row("3", name, 2)]);
}

#[test]
fn all_frames_of_a_zst_file_are_read() {
    let project = project().with("sources.prints.files", json!(["*.zst"]));
    let frame = |text: String| zstd::encode_all(text.as_bytes(), 3).expect("compressed");
    let bytes = [frame(shown(29, "1") + "\n"), frame(shown(30, "2"))].concat();
    project.write("data/raw/prints.zst", bytes);
    project.run_all();
    assert_eq!(prints(&project), [row("1", "prints.zst", 0), row("2", "prints.zst", 1)]);
}

#[test]
fn a_gz_file_that_ends_too_early_is_an_input_error_that_names_it() {
    let project = project().with("sources.prints.files", json!(["p.json.gz"]));
    let whole = gz(&[(shown(30, "1") + "\n").repeat(200).as_bytes()]);
    project.write("data/raw/p.json.gz", &whole[..whole.len() - 9]);
    project.mp(&["run", "--all"]).fails(3).says(&["p.json.gz"]);
    assert!(!project.view().manifest_path("extract.prints").exists());
}

#[test]
fn a_file_that_only_claims_to_be_compressed_is_an_input_error() {
    for name in ["p.json.gz", "p.json.zst"] {
        let project = project().with("sources.prints.files", json!([name]));
        project.write(&format!("data/raw/{name}"), shown(30, "1"));
        project.mp(&["run", "--all"]).fails(3).says(&[name]);
    }
}

#[test]
fn files_are_found_by_glob_and_taken_each_once_in_the_byte_order_of_their_paths() {
    let globs = json!(["prints/[aB].json", "prints/**/*.json", "prints/B.json"]);
    let project = project().with("sources.prints.files", globs);
    let names = ["prints/B.json", "prints/2020/11.json", "prints/a.json", "prints/é.json"];
    for (n, name) in names.iter().enumerate() {
        project.write(&format!("data/raw/{name}"), shown(30, &n.to_string()));
    }
    project.write("data/raw/prints/.hidden.json", "not to be read");
    project.write("data/raw/prints/notes.txt", "not to be read");
    project.run_all();
    assert_eq!(
        prints(&project),
        [
            row("1", "prints/2020/11.json", 0),
            row("0", "prints/B.json", 0),
            row("2", "prints/a.json", 0),
            row("3", "prints/é.json", 0),
        ]
    );
}

#[test]
fn a_star_stays_within_a_folder() {
    let project = project().with("sources.prints.files", json!(["p/*.json"]));
    project.write("data/raw/p/1.json", shown(30, "1"));
    project.write("data/raw/p/deeper/2.json", shown(30, "2"));
    project.run_all();
    assert_eq!(prints(&project), [row("1", "p/1.json", 0)]);
}

#[test]
fn marks_line_ends_and_blank_lines_change_no_row_but_the_numbers() {
    let project = project();
    let (one, two, three) = (shown(28, "1"), shown(29, "2"), shown(30, "3"));
    let text = format!("\u{feff}{one}\r\n\r\n \t\n{two}\n\n{three}\r");
    project.write("data/raw/prints.json", text);
    let csv = format!(
        "\u{feff}{CSV_HEADER}\r\n\r\n2020-11-29,1.00,1,point\r\n\n2020-11-30,2.00,1,point\r"
    );
    project.write("data/raw/pays.csv", csv);
    project.run_all();
    let name = "prints.json";
    assert_eq!(prints(&project), [row("1", name, 0), row("2", name, 3), row("3", name, 5)]);
    let payments = project.view().silver(Source::Payments);
    assert_eq!(payments.column("row_number"), ["0", "1"]);
    assert_eq!(project.view().count("extract.prints", "blank_lines"), 3);
    assert_eq!(project.view().count("extract.payments", "blank_lines"), 2);
}

#[test]
fn csv_columns_are_found_by_name_in_any_order_and_others_ignored() {
    let project = project();
    project.write("data/raw/prints.json", shown(30, "1"));
    project.write(
        "data/raw/pays.csv",
        "channel, user_id ,\"total\",value_prop,pay_date\n\"a,b\",7,\"3.50\",point,2020-11-30\n",
    );
    project.run_all();
    let payments = project.view().silver(Source::Payments);
    assert_eq!(payments.column("amount"), ["3.50"]);
    assert_eq!(payments.column("user_id"), ["7"]);
}

#[test]
fn a_header_that_lacks_or_repeats_a_column_is_an_input_error_that_lists_what_was_found() {
    for header in ["pay_date,total,user,value_prop", "pay_date,total,total,user_id,value_prop"] {
        let project = project();
        project.write("data/raw/prints.json", shown(30, "1"));
        project.write("data/raw/pays.csv", format!("{header}\n2020-11-30,1,1,point\n"));
        let outcome = project.mp(&["run", "--all"]).fails(3).says(&["pays.csv"]);
        let wrong = if header.contains("user_id") { "total" } else { "user_id" };
        outcome.says(&[wrong, "value_prop"]);
    }
}

#[test]
fn a_payments_file_without_any_header_is_an_input_error() {
    for content in ["", "\n\n", "\u{feff}", "\"pay_date,total,user_id,value_prop\n"] {
        let project = project();
        project.write("data/raw/prints.json", shown(30, "1"));
        project.write("data/raw/pays.csv", content);
        project.mp(&["run", "--all"]).fails(3).says(&["pays.csv"]);
    }
}

#[test]
fn a_json_file_of_zero_bytes_is_valid() {
    let project = project().with("quality.enable_quality_checks", json!(false));
    project.write("data/raw/prints.json", "");
    project.run_all();
    assert_eq!(project.view().count("extract.prints", "rows_read"), 0);
}

#[test]
fn a_missing_file_is_an_input_error_that_names_the_pattern_and_the_folder() {
    let project = project().with("sources.prints.files", json!(["shown-*.json"]));
    let outcome = project.mp(&["run", "--all"]).fails(3).says(&["shown-*.json", "data/raw"]);
    assert!(outcome.stderr.contains("hint"), "what to do next: {outcome}");
}

#[test]
fn one_pattern_of_several_that_matches_nothing_is_an_input_error_too() {
    let project = project().with("sources.prints.files", json!(["prints.json", "more/*.json"]));
    project.mp(&["run", "--all"]).fails(3).says(&["more/*.json"]);
}

#[test]
fn a_pattern_that_is_no_glob_is_a_mistake_in_the_configuration() {
    let project = project().with("sources.prints.files", json!(["prints[.json"]));
    project.mp(&["run", "--all"]).fails(2).says(&["prints[.json"]);
    let outcome = project.mp(&["config", "check"]).fails(2);
    outcome.says(&["config/params.yaml:", "sources.prints.files", "prints[.json"]);
}

#[test]
fn what_has_the_name_of_a_raw_file_but_is_none_is_an_input_error_that_says_what_it_is() {
    let project = project();
    std::fs::remove_file(project.path("data/raw/prints.json")).expect("removed");
    std::fs::create_dir(project.path("data/raw/prints.json")).expect("a folder");
    project.mp(&["run", "--all"]).fails(3).says(&["data/raw/prints.json", "is a folder", "hint"]);
    let project = Project::empty();
    project.write("data/raw", "a file");
    project.mp(&["run", "--all"]).fails(3).says(&["data/raw", "that is not a folder"]);
}

#[test]
fn zeros_after_a_gz_file_are_padding() {
    let project = project().with("sources.prints.files", json!(["prints.json.gz"]));
    let bytes = [gz(&[shown(30, "1").as_bytes()]), vec![0; 10_240]].concat();
    project.write("data/raw/prints.json.gz", bytes);
    project.run_all();
    assert_eq!(prints(&project), [row("1", "prints.json.gz", 0)]);
}

#[test]
fn matches_outside_the_raw_folder_are_refused_unless_allowed() {
    let outside = tempfile::tempdir().expect("a folder");
    let file = outside.path().join("elsewhere.json");
    std::fs::write(&file, shown(30, "5")).expect("written");
    let absolute = file.to_str().expect("UTF-8");
    for pattern in ["../elsewhere.json", absolute] {
        let mut project = project().with("sources.prints.files", json!([pattern]));
        project.write("data/elsewhere.json", shown(30, "5"));
        project.mp(&["run", "--all"]).fails(3).says(&["elsewhere.json", "allow_outside"]);
        project.set("sources.allow_outside", json!(true));
        project.run_all();
        assert_eq!(project.view().silver(Source::Prints).column("user_id"), ["5"]);
    }
}

#[test]
fn links_that_leave_the_raw_folder_are_refused_unless_allowed() {
    let outside = tempfile::tempdir().expect("a folder");
    std::fs::write(outside.path().join("x.json"), shown(30, "5")).expect("written");
    for link_to_file in [true, false] {
        let mut project = project().with("sources.prints.files", json!(["linked/x.json"]));
        if link_to_file {
            std::fs::create_dir(project.path("data/raw/linked")).expect("a folder");
            let link = project.path("data/raw/linked/x.json");
            std::os::unix::fs::symlink(outside.path().join("x.json"), link).expect("a link");
        } else {
            let link = project.path("data/raw/linked");
            std::os::unix::fs::symlink(outside.path(), link).expect("a link");
        }
        project.mp(&["run", "--all"]).fails(3).says(&["linked/x.json"]);
        project.set("sources.allow_outside", json!(true));
        project.run_all();
        assert_eq!(prints(&project), [row("5", "linked/x.json", 0)]);
    }
}

#[test]
fn links_within_the_raw_folder_are_followed() {
    let project = project().with("sources.prints.files", json!(["today.json"]));
    project.write("data/raw/2020-11-30.json", shown(30, "5"));
    let link = project.path("data/raw/today.json");
    std::os::unix::fs::symlink("2020-11-30.json", link).expect("a link");
    project.run_all();
    assert_eq!(prints(&project), [row("5", "today.json", 0)]);
}
