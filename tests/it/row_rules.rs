//! The row rules line by line: a raw line on the left, its codes or its values on the right.
//!
//! Complements `tests/cases/every_reject`, which has one row for each code: here are the edges.

use serde_json::json;

use crate::events::{CSV_HEADER, Line, Source, When, World};
use crate::project::Project;
use crate::readers::Table;

/// Runs preprocess over these lines of one source; Silver, and the rejects.
fn judge(source: Source, lines: &[Vec<u8>]) -> (Table, Table) {
    let mut project = Project::empty().with("processing.max_reject_rate", json!(1.0));
    let when = When::november(30);
    project.set(&format!("preprocess.dedupe.{}", source.name()), json!("keep"));
    project.write_world(&World::of(
        vec![],
        vec![Line::shown(&when, None, "point", "1")],
        vec![Line::paid(&when, 1, "point", "1")],
    ));
    let header = if source == Source::Payments { CSV_HEADER } else { " " };
    let text = [header.as_bytes().to_vec()].iter().chain(lines).cloned().collect::<Vec<_>>();
    project.write(&format!("data/raw/{}", source.default_file()), text.join(&b'\n'));
    project.mp(&["run", &format!("+preprocess.{}", source.name())]).success();
    (project.view().silver(source), project.view().rejects(source))
}

/// Each line must be rejected with these codes, or accepted with these values where there are none.
#[track_caller]
fn check(source: Source, columns: &[&str], table: &[(&[u8], &str, &[&str])]) {
    let lines: Vec<Vec<u8>> = table.iter().map(|(line, _, _)| line.to_vec()).collect();
    let (silver, rejects) = judge(source, &lines);
    for (at, (line, codes, values)) in table.iter().enumerate() {
        let line = String::from_utf8_lossy(line);
        // Physical lines count from 1, and one stands before these.
        let number = (at + 2).to_string();
        let row_number = if source == Source::Payments { at } else { at + 1 }.to_string();
        let rejected = rejects.rows.iter().find(|row| row[1] == number);
        let have = rejected.map_or("", |row| row[3].as_str());
        assert_eq!(have, *codes, "{line}");
        if !codes.is_empty() {
            continue;
        }
        let row = silver.rows.iter().find(|row| row[silver.at("row_number")] == row_number);
        let row = row.unwrap_or_else(|| panic!("neither accepted nor rejected: {line}"));
        let have: Vec<&str> = columns.iter().map(|name| row[silver.at(name)].as_str()).collect();
        assert_eq!(have, *values, "{line}");
    }
    assert_eq!(silver.rows.len() + rejects.rows.len(), table.len());
}

const OK: &str = "";

#[test]
fn timestamps() {
    let line = |text: &str| {
        let text = json!(text);
        format!(r#"{{"day":{text},"event_data":{{"value_prop":"p","position":1}},"user_id":1}}"#)
    };
    let valid = [
        ("2020-11-05", "2020-11-05T00:00:00.000000Z", "1.00"),
        ("2020-02-29", "2020-02-29T00:00:00.000000Z", "1.00"),
        ("2020-11-05T10:20:30", "2020-11-05T10:20:30.000000Z", "1.00"),
        ("2020-11-05 10:20:30Z", "2020-11-05T10:20:30.000000Z", "1.00"),
        ("2020-11-05t10:20:30z", "2020-11-05T10:20:30.000000Z", "1.00"),
        ("2020-11-05T10:20:30.1234567Z", "2020-11-05T10:20:30.123456Z", "1.00"),
        ("2020-11-05T10:20:30.999999999", "2020-11-05T10:20:30.999999Z", "1.00"),
        ("2020-11-05T10:20:30+00:00", "2020-11-05T10:20:30.000000Z", "1.00"),
        ("2020-11-05T10:20:30-00:00", "2020-11-05T10:20:30.000000Z", "1.00"),
        ("2020-11-05T10:20:30-03:00", "2020-11-05T13:20:30.000000Z", "0.75"),
        ("2020-11-05T00:20:30+23:59", "2020-11-04T00:21:30.000000Z", "0.75"),
        ("\u{3000}2020-11-05\t", "2020-11-05T00:00:00.000000Z", "0.75"),
    ];
    let invalid = [
        "2020-11-31",
        "2019-02-29",
        "2020-13-01",
        "2020-00-10",
        "2020-1-05",
        "20201105",
        "05/11/2020",
        "2020-11-05T24:00:00",
        "2020-11-05T10:60:00",
        "2020-11-05T10:20:60Z",
        "2020-11-05T10:20",
        "2020-11-05T10:20:30.",
        "2020-11-05T10:20:30.1234567890",
        "2020-11-05T10:20:30+3:00",
        "2020-11-05T10:20:30+0300",
        "2020-11-05T10:20:30+24:00",
        "2020-11-05T10:20:30+03:60",
        "2020-11-05Z",
        "2020-11-05+01:00",
        "0000-01-01",
        "2020-11-05T10:20:30 Z",
        "2020-11-05  10:20:30",
        "-2020-11-05",
        "+2020-11-05",
        "12020-11-05",
        "1604534400",
        "today",
        "２０２０-11-05",
    ];
    let rows: Vec<(Vec<u8>, &str, Vec<&str>)> = valid
        .iter()
        .map(|(text, micros, score)| (line(text).into_bytes(), OK, vec![*micros, *score]))
        .chain(invalid.iter().map(|t| (line(t).into_bytes(), "timestamp.invalid", vec![])))
        .chain(
            [("", "timestamp.missing"), (" \t\u{a0}", "timestamp.missing")]
                .map(|(text, code)| (line(text).into_bytes(), code, vec![])),
        )
        .chain(
            ["0001-01-01", "0001-01-01T00:00:00+23:59", "2015-12-02T23:59:59.9999999"]
                .map(|text| (line(text).into_bytes(), "timestamp.out_of_bounds", vec![])),
        )
        .collect();
    let table: Vec<(&[u8], &str, &[&str])> =
        rows.iter().map(|(line, codes, values)| (&line[..], *codes, &values[..])).collect();
    check(Source::Prints, &["timestamp", "data_quality_score"], &table);
}

#[test]
fn json_lines() {
    let columns = ["user_id", "value_prop_id", "position", "data_quality_score"];
    let x = |rest: &str| -> Vec<u8> { format!(r#"{{"day":"2020-11-05",{rest}}}"#).into_bytes() };
    let data = |inner: &str| x(&format!(r#""user_id":1,"event_data":{{{inner}}}"#));
    let user =
        |id: &str| x(&format!(r#""event_data":{{"value_prop":"p","position":0}},"user_id":{id}"#));
    let hundred = format!("\"{}\"", "é".repeat(100));
    let hundred_and_one = format!("\"{}\"", "é".repeat(101));
    let rows: Vec<(Vec<u8>, &str, Vec<&str>)> = vec![
        // user_id
        (user("98702"), OK, vec!["98702", "p", "0", "1.00"]),
        (user("\"98702\""), OK, vec!["98702", "p", "0", "1.00"]),
        (user("-0"), OK, vec!["-0", "p", "0", "1.00"]),
        (
            user("123456789012345678901234567890"),
            OK,
            vec!["123456789012345678901234567890", "p", "0", "1.00"],
        ),
        (user("\" a b \""), OK, vec!["a b", "p", "0", "0.75"]),
        (user("\"\\u0001\""), OK, vec!["\u{1}", "p", "0", "1.00"]),
        (user("\"\\ud83d\\ude00\""), OK, vec!["😀", "p", "0", "1.00"]),
        (user(&hundred), OK, vec![&hundred[1..hundred.len() - 1], "p", "0", "1.00"]),
        (user(&hundred_and_one), "user_id.too_long", vec![]),
        (user("98702.0"), "user_id.type", vec![]),
        (user("1e5"), "user_id.type", vec![]),
        (user("true"), "user_id.type", vec![]),
        (user("[1]"), "user_id.type", vec![]),
        (user("{}"), "user_id.type", vec![]),
        (user("null"), "user_id.missing", vec![]),
        (user("\"\""), "user_id.blank", vec![]),
        (user("\"\\u3000\""), "user_id.blank", vec![]),
        (user("01"), "json.malformed", vec![]),
        (user("NaN"), "json.malformed", vec![]),
        (user("\"a"), "json.malformed", vec![]),
        (user("\"\\ud83d\""), "json.malformed", vec![]),
        (user("\"\\x\""), "json.malformed", vec![]),
        (user("\"a\tb\""), "json.malformed", vec![]),
        // value_prop and position
        (data(r#""value_prop":"p""#), OK, vec!["1", "p", "", "0.75"]),
        (data(r#""value_prop":"p","position":null"#), OK, vec!["1", "p", "", "0.75"]),
        (data(r#""value_prop":"p","position":-0"#), OK, vec!["1", "p", "0", "1.00"]),
        (data(r#""value_prop":" p","position":7"#), OK, vec!["1", "p", "7", "0.75"]),
        (data(r#""value_prop":"p","position":"7""#), "position.type", vec![]),
        (data(r#""value_prop":"p","position":1.0"#), "position.type", vec![]),
        (data(r#""value_prop":"p","position":9223372036854775808"#), "position.type", vec![]),
        (data(r#""value_prop":"p","position":-9223372036854775808"#), "position.negative", vec![]),
        (data(r#""position":1"#), "value_prop.missing", vec![]),
        (
            data(r#""value_prop":null,"position":-1"#),
            "value_prop.missing;position.negative",
            vec![],
        ),
        (data(r#""value_prop":1,"position":1"#), "value_prop.type", vec![]),
        (data(r#""value_prop":"p","value_prop":"p""#), "json.malformed", vec![]),
        (data(r#""position":1,"p\u006fsition":1,"value_prop":"p""#), "json.malformed", vec![]),
        (data(r#""value_prop":"p","position":1,"x":1,"x":2"#), OK, vec!["1", "p", "1", "1.00"]),
        (x(r#""user_id":1"#), "value_prop.missing", vec![]),
        (x(r#""user_id":1,"event_data":null"#), "value_prop.missing", vec![]),
        (x(r#""user_id":1,"event_data":[{"value_prop":"p"}]"#), "value_prop.missing", vec![]),
        (x(r#""user_id":1,"event_data":{},"event_data":{}"#), "json.malformed", vec![]),
        (
            x(r#""user_id":1,"event_data":{"value_prop":"p","position":2},"y":{"value_prop":1}"#),
            OK,
            vec!["1", "p", "2", "1.00"],
        ),
        // the line
        (b"{}".to_vec(), "timestamp.missing;user_id.missing;value_prop.missing", vec![]),
        (
            b"{\"day\":null,\"user_id\":\"\"}".to_vec(),
            "timestamp.missing;user_id.blank;value_prop.missing",
            vec![],
        ),
        (
            b"{\"day\":20201105}".to_vec(),
            "timestamp.invalid;user_id.missing;value_prop.missing",
            vec![],
        ),
        ([b" \t".to_vec(), user("1"), b"\t ".to_vec()].concat(), OK, vec!["1", "p", "0", "1.00"]),
        ([user("1"), b",".to_vec()].concat(), "json.malformed", vec![]),
        ([user("1"), user("1")].concat(), "json.malformed", vec![]),
        ([b"\xef\xbb\xbf".to_vec(), user("1")].concat(), "json.malformed", vec![]),
        ([user("1"), b"\x00".to_vec()].concat(), "json.malformed", vec![]),
        (b"null".to_vec(), "json.malformed", vec![]),
        (b"\"a\"".to_vec(), "json.malformed", vec![]),
        (b"{'day':1}".to_vec(), "json.malformed", vec![]),
        (b"{\"day\":1,}".to_vec(), "json.malformed", vec![]),
        (
            x("\"user_id\":\"\u{7f}\",\"event_data\":{\"value_prop\":\"p\",\"position\":0}"),
            OK,
            vec!["\u{7f}", "p", "0", "1.00"],
        ),
        (user("\"a\rb\""), "json.malformed", vec![]),
    ];
    let table: Vec<(&[u8], &str, &[&str])> =
        rows.iter().map(|(line, codes, values)| (&line[..], *codes, &values[..])).collect();
    check(Source::Taps, &columns, &table);
}

#[test]
fn csv_records() {
    let columns = ["timestamp", "amount", "user_id", "value_prop_id", "data_quality_score"];
    let day = "2020-11-05T00:00:00.000000Z";
    let table: Vec<(&[u8], &str, Vec<&str>)> = vec![
        (b"2020-11-05,1.00,7,p", OK, vec![day, "1.00", "7", "p", "1.00"]),
        (b"\"2020-11-05\",\"1.00\",\"7\",\"p\"", OK, vec![day, "1.00", "7", "p", "1.00"]),
        (b"2020-11-05,1.00,\"a,\"\"b\",p", OK, vec![day, "1.00", "a,\"b", "p", "1.00"]),
        (b"2020-11-05,1.00,a\"b\"c,p", OK, vec![day, "1.00", "a\"b\"c", "p", "1.00"]),
        (b"2020-11-05,1.00, 7 , p ", OK, vec![day, "1.00", "7", "p", "0.75"]),
        (b" 2020-11-05, 1.005 ,7,p", OK, vec![day, "1.00", "7", "p", "0.50"]),
        (b"2020-11-05,0.015,7,p", OK, vec![day, "0.02", "7", "p", "0.75"]),
        (b"2020-11-05,1000000.000,7,p", OK, vec![day, "1000000.00", "7", "p", "1.00"]),
        (b"2020-11-05,1e-0002,7,p", OK, vec![day, "0.01", "7", "p", "1.00"]),
        (b"2020-11-05,10000e-4,7,p", OK, vec![day, "1.00", "7", "p", "1.00"]),
        (b"2020-11-05,+.5E1,7,p", OK, vec![day, "5.00", "7", "p", "1.00"]),
        (b"2020-11-05,1000000.001,7,p", "amount.too_large", vec![]),
        (b"2020-11-05,1e9999,7,p", "amount.too_large", vec![]),
        (b"2020-11-05,1e-9999,7,p", "amount.not_positive", vec![]),
        (b"2020-11-05,0.005,7,p", "amount.not_positive", vec![]),
        (b"2020-11-05,-0,7,p", "amount.not_positive", vec![]),
        (b"2020-11-05,-1e9999,7,p", "amount.not_positive", vec![]),
        (b"2020-11-05,1e10000,7,p", "amount.invalid", vec![]),
        (b"2020-11-05,0e00001,7,p", "amount.invalid", vec![]),
        (b"2020-11-05,.,7,p", "amount.invalid", vec![]),
        (b"2020-11-05,1 0,7,p", "amount.invalid", vec![]),
        (b"2020-11-05,1_0,7,p", "amount.invalid", vec![]),
        (b"2020-11-05,0x1,7,p", "amount.invalid", vec![]),
        (b"2020-11-05,inf,7,p", "amount.invalid", vec![]),
        (b"2020-11-05,$1,7,p", "amount.invalid", vec![]),
        (b"2020-11-05, ,7,p", "amount.missing", vec![]),
        (b"2020-11-05,1,\"\",p", "user_id.missing", vec![]),
        (b"2020-11-05,1, ,p", "user_id.blank", vec![]),
        (b"2020-11-05,1,7,", "value_prop.missing", vec![]),
        (b",1,7,p", "timestamp.missing", vec![]),
        (b",,,", "timestamp.missing;user_id.missing;value_prop.missing;amount.missing", vec![]),
        (b"2020-11-05,1,7", "csv.malformed", vec![]),
        (b"2020-11-05,1,7,p,", "csv.malformed", vec![]),
        (b" ", "csv.malformed", vec![]),
        (b"2020-11-05,1,\"7,p", "csv.malformed", vec![]),
        (b"2020-11-05,1,\"7\" ,p", "csv.malformed", vec![]),
        (b"2020-11-05,1,7\xff,p", "csv.malformed", vec![]),
        (b"2020-11-05,1,7\r,p\r", OK, vec![day, "1.00", "7", "p", "0.75"]),
        (b"2020-11-05,1,7\r8,p", OK, vec![day, "1.00", "7\r8", "p", "1.00"]),
    ];
    let table: Vec<(&[u8], &str, &[&str])> =
        table.iter().map(|(line, codes, values)| (*line, *codes, &values[..])).collect();
    check(Source::Payments, &columns, &table);
}
