//! Whole data sets: the same bytes from the same seed, shares, dates, every code.

use std::collections::BTreeSet;

use super::*;
use crate::as_of::AsOf;
use crate::record::{self, CsvColumns, Decimal, Rules, Scratch, Verdict};

type Codes = BTreeMap<String, u64>;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn make(change: impl FnOnce(&mut SynthOptions)) -> (tempfile::TempDir, SynthSummary) {
    let dir = folder();
    let mut options = SynthOptions::new(dir.path().join("raw"), 20_000);
    change(&mut options);
    let summary = generate(&options, &mut |_, _| {}).unwrap();
    (dir, summary)
}

fn read(dir: &tempfile::TempDir, name: &str) -> String {
    fs_err::read_to_string(dir.path().join("raw").join(name)).unwrap()
}

fn names(dir: &tempfile::TempDir) -> Vec<String> {
    let entries = fs_err::read_dir(dir.path().join("raw")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The pieces of a line between quotes and other marks.
fn words(line: &str) -> Vec<&str> {
    line.split(['"', ' ', ',', ':', '{', '}']).filter(|word| !word.is_empty()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (one, summary) = make(|_| ());
    let (two, again) = make(|_| ());
    let (other, _) = make(|options| options.seed = 43);
    assert_eq!(summary, again);
    assert_eq!(names(&one), ["pays.csv", "prints.json", "taps.json"]);
    for name in names(&one) {
        assert_eq!(read(&one, &name), read(&two, &name));
        assert_ne!(read(&one, &name), read(&other, &name));
    }
}

#[test]
fn the_bytes_never_change() {
    // Guards against a change that nobody wanted: the example's counts are in the README.
    let (dir, _) = make(|options| options.prints = 300);
    let mut hash = 0;
    for name in names(&dir) {
        for byte in read(&dir, &name).bytes() {
            hash = rng::mix(hash ^ u64::from(byte));
        }
    }
    assert_eq!(format!("{hash:016x}"), "f5fb81105dd9a0e7");
}

#[test]
fn counts_are_those_that_were_asked_for() {
    for dirty in [0.0, 0.002, 0.3] {
        let (dir, summary) = make(|options| options.dirty = dirty);
        for (source, name, rows, header) in [
            ("prints", "prints.json", 20_000, 0),
            ("taps", "taps.json", 2_000, 0),
            ("payments", "pays.csv", 30_000, 1),
        ] {
            let text = read(&dir, name);
            let file = &summary.files[source];
            assert_eq!((file.rows, file.bytes), (rows, text.len() as u64));
            assert_eq!(text.lines().count() as u64, rows + header);
            assert!(text.ends_with('\n'));
            assert_eq!(file.bad, (rows as f64 * dirty) as u64);
        }
    }
}

#[test]
fn a_clean_data_set_has_neither_bad_rows_nor_duplicates() {
    let (dir, summary) = make(|options| options.dirty = 0.0);
    for (source, file) in &summary.files {
        assert_eq!((file.bad, file.soft, file.duplicates), (0, 0, 0), "{source}");
        assert!(file.codes.is_empty());
    }
    for name in ["prints.json", "taps.json"] {
        let text = read(&dir, name);
        let distinct: BTreeSet<&str> = text.lines().collect();
        assert_eq!(distinct.len(), text.lines().count());
    }
}

#[test]
fn every_tap_follows_a_print_of_its_day() {
    let (dir, _) = make(|options| options.dirty = 0.0);
    let prints = read(&dir, "prints.json");
    let prints: BTreeSet<&str> = prints.lines().collect();
    assert!(read(&dir, "taps.json").lines().all(|tap| prints.contains(tap)));
}

#[test]
fn days_come_in_order_and_fill_the_month() {
    let (dir, summary) = make(|options| options.dirty = 0.0);
    assert_eq!((&*summary.first_day, &*summary.last_day), ("2020-11-01", "2020-11-30"));
    for (name, column) in [("prints.json", 1), ("taps.json", 1), ("pays.csv", 0)] {
        let text = read(&dir, name);
        let days: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("pay_date"))
            .map(|line| words(line)[column])
            .collect();
        assert!(days.is_sorted(), "{name}");
        assert_eq!(days.iter().collect::<BTreeSet<_>>().len(), 30);
    }
}

#[test]
fn sessions_show_three_or_four_positions_of_different_value_props() {
    let (dir, _) = make(|options| options.dirty = 0.0);
    let text = read(&dir, "prints.json");
    let mut sessions: Vec<Vec<(String, String)>> = Vec::new();
    for line in text.lines() {
        let words = words(line);
        let (position, prop, user) = (words[4], words[6], words[8]);
        if position == "0" {
            sessions.push(Vec::new());
        }
        sessions.last_mut().unwrap().push((prop.to_owned(), user.to_owned()));
    }
    sessions.pop();
    for session in &sessions {
        assert!(session.len() == 3 || session.len() == 4);
        let props: BTreeSet<&str> = session.iter().map(|(prop, _)| prop.as_str()).collect();
        assert_eq!(props.len(), session.len());
        assert!(session.iter().all(|(_, user)| *user == session[0].1));
    }
}

#[test]
fn every_code_that_fits_occurs() {
    let (_dir, summary) = make(|options| options.dirty = 0.05);
    let codes = |source: &str| -> Vec<&str> {
        summary.files[source].codes.keys().map(String::as_str).collect()
    };
    let of_events = [
        "json.malformed",
        "position.negative",
        "position.type",
        "timestamp.invalid",
        "timestamp.missing",
        "timestamp.out_of_bounds",
        "user_id.blank",
        "user_id.missing",
        "user_id.too_long",
        "user_id.type",
        "value_prop.blank",
        "value_prop.missing",
        "value_prop.too_long",
        "value_prop.type",
    ];
    assert_eq!(codes("prints"), of_events);
    assert_eq!(codes("taps"), of_events);
    assert_eq!(
        codes("payments"),
        [
            "amount.invalid",
            "amount.missing",
            "amount.not_positive",
            "amount.too_large",
            "csv.malformed",
            "timestamp.invalid",
            "timestamp.missing",
            "timestamp.out_of_bounds",
            "user_id.blank",
            "user_id.missing",
            "user_id.too_long",
            "value_prop.blank",
            "value_prop.missing",
            "value_prop.too_long",
        ]
    );
}

#[test]
fn the_usual_share_of_dirt_has_every_code_in_prints_and_payments() {
    let (_dir, summary) = make(|_| ());
    assert_eq!(summary.files["prints"].codes.len(), 14);
    assert_eq!(summary.files["payments"].codes.len(), 14);
    assert_eq!(summary.files["prints"].duplicates, 40);
    assert_eq!(summary.files["payments"].duplicates, 0);
}

#[test]
fn odd_sizes_are_no_trouble() {
    for (prints, users, days) in [(0, None, 30), (1, None, 1), (7, Some(1), 400), (500, Some(3), 2)]
    {
        let (_dir, summary) = make(|options| {
            (options.prints, options.users, options.days) = (prints, users, days);
            options.dirty = 0.1;
        });
        assert_eq!(summary.files["prints"].rows, prints);
        assert_eq!(summary.files["taps"].rows, prints / 10);
        assert_eq!(summary.files["payments"].rows, prints + prints / 2);
    }
}

#[test]
fn progress_ends_with_all_rows() {
    let dir = folder();
    let mut told = Vec::new();
    let options = SynthOptions::new(dir.path().join("raw"), 1_000);
    generate(&options, &mut |done, total| told.push((done, total))).unwrap();
    assert_eq!(told.first(), Some(&(0, 2_600)));
    assert_eq!(told.last(), Some(&(2_600, 2_600)));
    assert!(told.is_sorted());
}

#[test]
fn existing_files_are_kept_unless_forced() {
    let dir = folder();
    let mut options = SynthOptions::new(dir.path().to_owned(), 100);
    fs_err::write(dir.path().join("taps.json"), "mine").unwrap();
    let error = generate(&options, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert!(error.to_string().contains("taps.json` exists already"), "{error}");
    assert!(!dir.path().join("prints.json").exists());
    options.force = true;
    generate(&options, &mut |_, _| {}).unwrap();
    let text = fs_err::read_to_string(dir.path().join("taps.json")).unwrap();
    assert_eq!(text.lines().count(), 10);
}

#[test]
fn options_out_of_range_are_named() {
    let base = SynthOptions::new(folder().path().join("raw"), 100);
    let cases: [(&str, SynthOptions); 5] = [
        ("--users", SynthOptions { users: Some(0), ..base.clone() }),
        ("--dirty", SynthOptions { dirty: 0.31, ..base.clone() }),
        ("--dirty", SynthOptions { dirty: f64::NAN, ..base.clone() }),
        ("--days", SynthOptions { days: 0, ..base.clone() }),
        ("--taps", SynthOptions { taps: Some(51), ..base.clone() }),
    ];
    for (name, options) in cases {
        let error = generate(&options, &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{name}` is ")), "{error}");
        assert!(!options.out.exists());
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = folder();
    fs_err::write(dir.path().join("file"), "").unwrap();
    let options = SynthOptions::new(dir.path().join("file").join("raw"), 100);
    let error = generate(&options, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Failure);
    assert!(error.to_string().contains("file/raw`"), "{error}");
}

/// What the row rules make of a file: rejected rows, rows with a soft issue, codes.
fn judged(text: &str, rules: &Rules, columns: Option<&CsvColumns>) -> (u64, u64, Codes) {
    let mut scratch = Scratch::default();
    let (mut bad, mut soft, mut codes) = (0, 0, Codes::new());
    for line in text.lines().map(str::as_bytes) {
        let verdict = match columns {
            Some(columns) => record::check_csv(line, columns, rules, &mut scratch),
            None => record::check_json(line, rules, &mut scratch),
        };
        match verdict {
            Verdict::Accepted(row) => soft += u64::from(row.soft_issues > 0),
            Verdict::Rejected { faults, .. } => {
                bad += 1;
                for fault in faults {
                    *codes.entry(fault.code.as_str().to_owned()).or_default() += 1;
                }
            }
        }
    }
    (bad, soft, codes)
}

#[test]
fn the_row_rules_find_exactly_what_was_spoilt() {
    let as_of = AsOf::parse("2020-11-30").unwrap();
    let rules = Rules {
        oldest_us: as_of.micros() - 1825 * 86_400_000_000,
        max_amount: Decimal::parse("1000000").unwrap(),
    };
    for dirty in [0.0, 0.002, 0.1] {
        let (dir, summary) = make(|options| options.dirty = dirty);
        for (source, file) in &summary.files {
            let text = read(&dir, &file.file);
            let (header, rows) = match *source {
                "payments" => text.split_once('\n').unwrap(),
                _ => ("", text.as_str()),
            };
            let columns =
                (!header.is_empty()).then(|| CsvColumns::from_header(header.as_bytes()).unwrap());
            let (bad, soft, codes) = judged(rows, &rules, columns.as_ref());
            assert_eq!((bad, &codes), (file.bad, &file.codes), "{source}");
            // A duplicate repeats a soft issue too.
            assert!((file.soft..=file.soft + file.duplicates).contains(&soft), "{source}");
        }
    }
}
