//! Files found by patterns in real folders, and the worked cases read to the end.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;
use crate::exit_code::ExitCode;
use crate::record::{
    CsvColumns, Decimal, Rules, Scratch, Source, Verdict, check_csv, check_json,
    json_line_is_blank, too_long,
};

/// A folder with empty files of these names below `raw`.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir(folder.path().join("raw")).unwrap();
    for name in names {
        let path = folder.path().join("raw").join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, "").unwrap();
    }
    folder
}

fn find(folder: &Path, patterns: &[&str], allow_outside: bool) -> Result<Vec<String>, SourceError> {
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    let files = discover(&folder.join("raw"), &patterns, allow_outside)?;
    assert!(files.iter().all(|file| file.path.is_file()));
    Ok(files.into_iter().map(|file| file.name).collect())
}

#[test]
fn a_star_stays_within_a_folder_two_do_not_and_hidden_names_need_their_dot() {
    let folder = folder(&[
        "b.json",
        "a.json",
        "B.json",
        "x.csv",
        ".h.json",
        ".json",
        "d/a.json",
        "d/e/a.json",
        "d/.h/a.json",
        ".d/a.json",
        "d/b.jsonl",
        "[1].json",
    ]);
    for (patterns, expected) in [
        (vec!["a.json"], vec!["a.json"]),
        (vec!["./d//a.json"], vec!["d/a.json"]),
        (vec!["?.json", "a.json", "a.*"], vec!["B.json", "a.json", "b.json"]),
        (vec!["*/*.json"], vec!["d/a.json"]),
        (vec!["**/a.json"], vec!["a.json", "d/a.json", "d/e/a.json"]),
        (vec!["d/**"], vec!["d/a.json", "d/b.jsonl", "d/e/a.json"]),
        (vec!["**/e/**/*.json", "**/**/b.*"], vec!["b.json", "d/b.jsonl", "d/e/a.json"]),
        (vec![".*"], vec![".h.json", ".json"]),
        (vec!["**/.h/*.json", ".h.json"], vec![".h.json", "d/.h/a.json"]),
        (vec![".d/*"], vec![".d/a.json"]),
        (vec!["[ab].json"], vec!["a.json", "b.json"]),
        (vec!["[!a].json"], vec!["B.json", "b.json"]),
        (vec!["{a,b}.json", "d/{a.json,b.*}"], vec!["a.json", "b.json", "d/a.json", "d/b.jsonl"]),
        (vec!["\\[1\\].json"], vec!["[1].json"]),
    ] {
        assert_eq!(find(folder.path(), &patterns, false).unwrap(), expected, "{patterns:?}");
    }
}

#[test]
fn a_pattern_without_a_file_names_itself_and_the_folder() {
    let folder = folder(&["a.json", "d/b.json"]);
    for pattern in ["c.json", "*", "x/*.json", "**/c.json", "a.json/b", "A.json", "/d/b.json"] {
        let patterns = if pattern == "*" { ["[d]"] } else { [pattern] };
        let error = find(folder.path(), &patterns, false).unwrap_err();
        let raw = folder.path().join("raw");
        let expected = format!("no file matches `{}` in `{}`", patterns[0], raw.display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.exit_code(), ExitCode::Input);
    }
    let error = find(&folder.path().join("x"), &["a.json"], false).unwrap_err();
    assert!(error.to_string().ends_with("x/raw`: there is no such folder"), "{error}");
    for pattern in ["", "/", "a[", "{a", "a}b", "{a/b,c}", "\\"] {
        let error = find(folder.path(), &["a.json", pattern], false).unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{pattern}` is no pattern")), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Usage);
    }
}

#[test]
fn what_is_there_but_no_regular_file_is_named_as_such() {
    let folder = folder(&["d/b.json"]);
    let raw = folder.path().join("raw");
    fs_err::create_dir(raw.join("taps.json")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(raw.join("socket.json")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(raw.join("pipe.json")).status();
    assert!(pipe.unwrap().success());
    symlink("pipe.json", raw.join("link.json")).unwrap();
    symlink("/dev/null", raw.join("null.json")).unwrap();
    for (pattern, name, kind) in [
        ("d", "d", "a folder"),
        ("taps.json", "taps.json", "a folder"),
        ("**/taps.json", "taps.json", "a folder"),
        ("pipe.json", "pipe.json", "a named pipe"),
        ("link.json", "link.json", "a named pipe"),
        ("null.json", "null.json", "a device"),
        ("socket.json", "socket.json", "a socket"),
        // The first by name, and folders are not what a wildcard is after.
        ("*.json", "link.json", "a named pipe"),
    ] {
        let error = find(folder.path(), &[pattern], false).unwrap_err();
        let path = raw.join(name);
        let expected = format!(
            "`{}`, which `{pattern}` matches, is {kind}, not a regular file",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.exit_code(), ExitCode::Input);
        assert!(error.hint().is_some());
    }
    drop(socket);
    // Beside files, it is passed over.
    fs_err::write(raw.join("z.json"), "").unwrap();
    assert_eq!(find(folder.path(), &["*.json"], false).unwrap(), ["z.json"]);
}

#[test]
fn a_raw_folder_that_is_a_file_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("raw"), "").unwrap();
    for pattern in ["a.json", "*.json"] {
        let error = find(folder.path(), &[pattern], false).unwrap_err();
        assert!(error.to_string().ends_with("/raw`: that is not a folder"), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Input);
    }
}

#[test]
fn a_pattern_is_checked_without_a_folder() {
    check_pattern("**/[ab]*.json").unwrap();
    let error = check_pattern("[a").unwrap_err();
    assert!(error.to_string().starts_with("`[a` is no pattern for files: "), "{error}");
}

#[test]
fn files_outside_the_raw_folder_are_refused_unless_allowed() {
    let folder = folder(&["a.json", "d/b.json"]);
    let root = folder.path();
    fs_err::create_dir(root.join("other")).unwrap();
    fs_err::write(root.join("other/x.json"), "").unwrap();
    symlink("../other", root.join("raw/out")).unwrap();
    symlink("../other/x.json", root.join("raw/y.json")).unwrap();
    let absolute = root.join("other/*.json").to_str().unwrap().to_owned();
    let absolute_name = root.join("other/x.json").to_str().unwrap().to_owned();
    for (pattern, name) in [
        ("../other/*.json", "../other/x.json"),
        ("d/../../other/x.json", "d/../../other/x.json"),
        ("y.json", "y.json"),
        ("[xyz].json", "y.json"),
        ("out/x.json", "out/x.json"),
        ("**/x.json", "out/x.json"),
        (absolute.as_str(), absolute_name.as_str()),
    ] {
        let error = find(root, &[pattern], false).unwrap_err();
        assert!(matches!(&error, SourceError::Outside { name: n, .. } if n == name), "{error:?}");
        assert_eq!(error.exit_code(), ExitCode::Input);
        assert_eq!(find(root, &[pattern], true).unwrap(), [name]);
    }
    // What comes back to the raw folder never left it.
    let inside = root.join("raw/d/*.json").to_str().unwrap().to_owned();
    for pattern in ["../raw/d/b.json", "d/../d/*.json", inside.as_str()] {
        assert_eq!(find(root, &[pattern, "a.json"], false).unwrap(), ["a.json", "d/b.json"]);
    }
}

#[test]
fn links_within_the_raw_folder_are_followed_and_give_each_file_once() {
    let folder = folder(&["d/b.json", "d/e/c.json"]);
    let raw = folder.path().join("raw");
    symlink("d/e", raw.join("link")).unwrap();
    symlink("..", raw.join("d/up")).unwrap();
    symlink("../e", raw.join("d/e/round")).unwrap();
    assert_eq!(find(folder.path(), &["link/*.json"], false).unwrap(), ["link/c.json"]);
    let all = find(folder.path(), &["**/*.json"], false).unwrap();
    assert_eq!(all, ["d/b.json", "d/e/c.json"]);
    symlink("nowhere", raw.join("gone.json")).unwrap();
    let error = find(folder.path(), &["*.json"], false).unwrap_err();
    assert!(error.to_string().contains("raw/gone.json`: No such file"), "{error}");
}

/// One rejected line, or the counts of a source, as the expected files write them.
struct Seen {
    rejects: Vec<String>,
    accepted: Vec<String>,
    read: u64,
    blank: u64,
}

fn read(source: Source, raw: &Path, file: &str, target: usize) -> Seen {
    let rules =
        Rules { oldest_us: 1_449_100_800_000_000, max_amount: Decimal::parse("1000000").unwrap() };
    let files = discover(raw, &[file.to_owned()], false).unwrap();
    let mut slabs = SlabReader::new(open(&files[0].path, 128 << 20).unwrap(), target);
    let mut scratch = Scratch::default();
    let mut columns = None;
    let mut seen = Seen { rejects: Vec::new(), accepted: Vec::new(), read: 0, blank: 0 };
    let mut number = 0;
    while let Some(slab) = slabs.next(Vec::new()).unwrap() {
        for line in Lines::new(&slab.bytes) {
            number += 1;
            let offset = slab.offset + u64::from(line.offset);
            let verdict = match (source, slab.long) {
                (_, Some(long)) => Verdict::Rejected {
                    timestamp_us: None,
                    faults: vec![too_long(source, long.bytes)],
                },
                (Source::Payments, None) => {
                    if line.bytes.is_empty() {
                        seen.blank += 1;
                        continue;
                    }
                    match &columns {
                        Some(columns) => check_csv(line.bytes, columns, &rules, &mut scratch),
                        None => {
                            columns = Some(CsvColumns::from_header(line.bytes).unwrap());
                            continue;
                        }
                    }
                }
                (_, None) if json_line_is_blank(line.bytes) => {
                    seen.blank += 1;
                    continue;
                }
                (_, None) => check_json(line.bytes, &rules, &mut scratch),
            };
            seen.read += 1;
            match verdict {
                Verdict::Accepted(row) => {
                    let row_number = match source {
                        Source::Payments => seen.read - 1,
                        _ => number - 1,
                    };
                    let measure = match (source, row.measure) {
                        (Source::Payments, cents) => format!("{}.{:02}", cents / 100, cents % 100),
                        (_, 0) => String::new(),
                        (_, position) => (position - 1).to_string(),
                    };
                    let time = chrono::DateTime::from_timestamp_micros(row.timestamp_us).unwrap();
                    seen.accepted.push(format!(
                        "{}|{}|{}|{measure}|{row_number}|{:.2}",
                        time.format("%Y-%m-%dT%H:%M:%S%.6fZ"),
                        row.user_id,
                        row.value_prop,
                        1.0 - 0.25 * f64::from(row.soft_issues),
                    ));
                }
                Verdict::Rejected { faults, .. } => {
                    let codes: Vec<_> = faults.iter().map(|fault| fault.code.as_str()).collect();
                    let codes = codes.join(";");
                    seen.rejects.push(format!("{source},{file},{number},{offset},{codes}"));
                }
            }
        }
    }
    seen
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

#[test]
fn the_worked_cases_give_their_rejects_and_rows_at_any_slab_size() {
    for case in ["every_reject", "money", "window_edges"] {
        let case = cases().join(case);
        let expected = fs_err::read_to_string(case.join("expected/rejects.csv")).unwrap();
        let summary = fs_err::read_to_string(case.join("expected/summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
        for (source, file) in [
            (Source::Prints, "prints.json"),
            (Source::Taps, "taps.json"),
            (Source::Payments, "pays.csv"),
        ] {
            for target in [1, 100, 4096, 4 << 20] {
                let seen = read(source, &case.join("raw"), file, target);
                let mine = |line: &&str| line.starts_with(source.name());
                let expected: Vec<_> = expected.lines().filter(mine).collect();
                assert_eq!(seen.rejects, expected);
                let counts = &summary[source.name()];
                assert_eq!(counts["rows_read"], seen.read);
                assert_eq!(counts["blank_lines"], seen.blank);
                assert_eq!(counts["rows_rejected"], seen.rejects.len());
                let silver = case.join(format!("expected/silver_{source}.csv"));
                for row in silver_rows(&silver) {
                    assert!(seen.accepted.contains(&row), "{row} not in {:#?}", seen.accepted);
                }
            }
        }
    }
}

/// Rows of an expected Silver file: time, user, value prop, measure, row number, score.
fn silver_rows(path: &Path) -> Vec<String> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        [0, 1, 2, 3, 5, 7].map(|column| row[column].to_owned()).join("|")
    });
    rows.collect()
}
