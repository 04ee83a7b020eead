//! Rows judged whole, and the two readers of JSON against each other.

use proptest::prelude::*;

use super::*;

fn rules() -> Rules {
    // 2015-12-03T00:00:00Z, 1825 days before the end of 2020-11-30.
    Rules { oldest_us: 1_449_100_800_000_000, max_amount: Decimal::parse("1000000").unwrap() }
}

/// The row as text, or its codes.
fn verdict(verdict: Verdict<'_>) -> Result<String, String> {
    match verdict {
        Verdict::Accepted(row) => Ok(format!(
            "{}|{}|{}|{}|{}",
            row.timestamp_us, row.user_id, row.value_prop, row.measure, row.soft_issues
        )),
        Verdict::Rejected { faults, .. } => {
            assert!(faults.iter().all(|fault| !fault.detail.contains(['\n', '\r'])));
            assert!(faults.iter().map(|fault| fault.code).is_sorted(), "{faults:?}");
            Err(faults.iter().map(|fault| fault.code.as_str()).collect::<Vec<_>>().join(";"))
        }
    }
}

fn json(line: impl AsRef<[u8]>) -> Result<String, String> {
    verdict(check_json(line.as_ref(), &rules(), &mut Scratch::default()))
}

fn json_slowly(line: &[u8]) -> Result<String, String> {
    verdict(check_json_slowly(line, &rules(), &mut Scratch::default()))
}

fn csv(line: impl AsRef<[u8]>) -> Result<String, String> {
    let columns = CsvColumns::from_header(b"pay_date,total,user_id,value_prop").unwrap();
    verdict(check_csv(line.as_ref(), &columns, &rules(), &mut Scratch::default()))
}

const USUAL: &str = r#"{"day": "2020-11-01", "event_data": {"position": 0, "value_prop": "prepaid"}, "user_id": 98702}"#;

fn event(day: &str, user_id: &str, value_prop: &str, position: &str) -> String {
    format!(
        r#"{{"day":{day},"event_data":{{"position":{position},"value_prop":{value_prop}}},"user_id":{user_id}}}"#
    )
}

#[test]
fn the_usual_line_is_understood_by_the_fast_reader() {
    let mut more = vec![
        event("\"2020-11-01T10:00:00Z\"", "\"añ€𝄞b\"", "\"send money\"", "-0"),
        event("\"2020-11-01\"", "-0", "\"p\"", "null"),
        r#" {"user_id":1,"event_data":{"value_prop":"p"},"day":"2020-11-01"}	"#.to_owned(),
    ];
    more.push(USUAL.to_owned());
    for line in more {
        let fast = json_fast::read(line.as_bytes()).expect(&line);
        assert!(matches!(fast.judge(&rules()), Verdict::Accepted(_)), "{line}");
        assert_eq!(json(&line), json_slowly(line.as_bytes()));
    }
    assert_eq!(json(USUAL).unwrap(), "1604188800000000|98702|prepaid|1|0");
}

#[test]
fn every_kind_of_user_id_has_its_code() {
    let check = |user_id: &str| json(event("\"2020-11-01\"", user_id, "\"p\"", "0"));
    let id = |user_id: &str| check(user_id).unwrap().split('|').nth(1).unwrap().to_owned();
    assert_eq!(id("98702"), "98702");
    assert_eq!(id("-0"), "-0");
    assert_eq!(id("12345678901234567890123456789"), "12345678901234567890123456789");
    assert_eq!(id(r#"" \u00a01\t""#), "1");
    assert_eq!(id(r#""a\nb\u0000""#), "a\nb\0");
    assert_eq!(id(&format!("\"{}\"", "é".repeat(100))), "é".repeat(100));
    assert_eq!(id(&"9".repeat(100)), "9".repeat(100));
    for (user_id, code) in [
        ("null", "user_id.missing"),
        ("98702.0", "user_id.type"),
        ("1e5", "user_id.type"),
        ("true", "user_id.type"),
        ("[]", "user_id.type"),
        ("{\"a\":1}", "user_id.type"),
        ("\"\"", "user_id.blank"),
        ("\" \\u3000\"", "user_id.blank"),
        (&"9".repeat(101), "user_id.too_long"),
        (&format!("-{}", "9".repeat(100)), "user_id.too_long"),
        ("01", "json.malformed"),
        ("-", "json.malformed"),
        ("1.", "json.malformed"),
        ("NaN", "json.malformed"),
        ("+1", "json.malformed"),
        ("\"\\ud800\"", "json.malformed"),
        ("\"\\udc00\\ud800\"", "json.malformed"),
        ("\"a\tb\"", "json.malformed"),
        ("\"\\x\"", "json.malformed"),
        ("tru", "json.malformed"),
        ("", "json.malformed"),
    ] {
        assert_eq!(check(user_id), Err(code.to_owned()), "{user_id}");
    }
    assert_eq!(id(r#""\ud834\udd1e""#), "𝄞");
}

#[test]
fn every_kind_of_position_has_its_code() {
    let check = |position: &str| json(event("\"2020-11-01\"", "1", "\"p\"", position));
    let measure = |position: &str| check(position).unwrap().split('|').nth(3).unwrap().to_owned();
    assert_eq!(measure("null"), "0");
    assert_eq!(measure("-0"), "1");
    assert_eq!(measure("9223372036854775807"), "9223372036854775808");
    for (position, code) in [
        ("-1", "position.negative"),
        ("-9223372036854775808", "position.negative"),
        ("-9223372036854775809", "position.type"),
        ("9223372036854775808", "position.type"),
        ("1.0", "position.type"),
        ("1e0", "position.type"),
        ("\"1\"", "position.type"),
        ("\"\\ud800\"", "position.type"),
        ("[1]", "position.type"),
        ("false", "position.type"),
        ("00", "json.malformed"),
    ] {
        assert_eq!(check(position), Err(code.to_owned()), "{position}");
    }
}

#[test]
fn event_data_that_is_no_object_leaves_the_value_prop_missing() {
    for data in ["null", "7", "\"x\"", "[{\"value_prop\":\"p\"}]", "{}", "\"\\ud800\""] {
        let line = format!(r#"{{"day":"2020-11-01","user_id":1,"event_data":{data}}}"#);
        assert_eq!(json(line), Err("value_prop.missing".to_owned()), "{data}");
    }
    assert_eq!(json("{}").unwrap_err(), "timestamp.missing;user_id.missing;value_prop.missing");
}

#[test]
fn timestamps_of_another_kind_are_invalid_and_old_ones_out_of_bounds() {
    let check = |day: &str| json(event(day, "1", "\"p\"", "0"));
    for (day, code) in [
        ("null", "timestamp.missing"),
        ("\" \\u00a0\"", "timestamp.missing"),
        ("20201101", "timestamp.invalid"),
        ("{}", "timestamp.invalid"),
        ("true", "timestamp.invalid"),
        ("\"2020-11-40\"", "timestamp.invalid"),
        ("\"2015-12-02T23:59:59.999999999Z\"", "timestamp.out_of_bounds"),
        ("\"2015-12-03T00:00:00+00:01\"", "timestamp.out_of_bounds"),
        ("\"\\ud800\"", "json.malformed"),
    ] {
        assert_eq!(check(day), Err(code.to_owned()), "{day}");
    }
    assert!(check("\"2015-12-03\"").is_ok() && check("\"9999-12-31\"").is_ok());
    let line = event("\"2010-01-01\"", "\"\"", "\"p\"", "0");
    let Verdict::Rejected { timestamp_us, faults } =
        check_json(line.as_bytes(), &rules(), &mut Scratch::default())
    else {
        panic!("accepted");
    };
    assert_eq!(timestamp_us, Some(1_262_304_000_000_000));
    assert_eq!(faults[0].detail, "timestamp `2010-01-01` is earlier than the oldest allowed");
    assert_eq!(faults[1].detail, "user_id is blank");
}

#[test]
fn known_keys_given_twice_are_malformed_however_they_are_written() {
    for line in [
        r#"{"day":"2020-11-01","day":"2020-11-01","user_id":1,"event_data":{"value_prop":"p"}}"#,
        r#"{"d\u0061y":null,"day":"2020-11-01","user_id":1,"event_data":{"value_prop":"p"}}"#,
        r#"{"day":"2020-11-01","user_id":1,"user_id":1,"event_data":{"value_prop":"p"}}"#,
        r#"{"day":"2020-11-01","user_id":1,"event_data":0,"event_data":{"value_prop":"p"}}"#,
        r#"{"day":"2020-11-01","user_id":1,"event_data":{"value_prop":"p","value_pro\u0070":"p"}}"#,
        r#"{"day":"2020-11-01","user_id":1,"event_data":{"value_prop":"p","position":1,"position":1}}"#,
    ] {
        assert_eq!(json(line), Err("json.malformed".to_owned()), "{line}");
    }
    for line in [
        r#"{"day":"2020-11-01","x":1,"x":2,"user_id":1,"event_data":{"value_prop":"p","x":1,"x":2}}"#,
        r#"{"day":"2020-11-01","position":1,"position":2,"user_id":1,"event_data":{"value_prop":"p","day":1,"day":2}}"#,
        r#"{"day":"2020-11-01","\ud800":"\udc00","user_id":1,"event_data":{"value_prop":"p","\ud800":1e99999}}"#,
    ] {
        assert!(json(line).is_ok(), "{line}: {:?}", json(line));
    }
}

#[test]
fn nesting_and_numbers_have_no_limit_but_the_line() {
    let around = |value: &str| {
        format!(
            r#"{{"x":{value},"day":"2020-11-01","user_id":1,"event_data":{{"value_prop":"p"}}}}"#
        )
    };
    let deep = "[".repeat(300_000) + &"]".repeat(300_000);
    let digits = "9".repeat(900_000);
    for value in [deep.as_str(), digits.as_str(), "-1E+999999999999", "{\"a\":{\"a\":[0.5e-99]}}"] {
        assert!(json(around(value)).is_ok());
    }
    assert_eq!(json(around(&deep[1..])), Err("json.malformed".to_owned()));
    assert_eq!(json(event("[".repeat(500_000).as_str(), "1", "1", "1")), json("["));
    let known = event(&deep, "1", "\"p\"", "0");
    assert_eq!(json(known), Err("timestamp.invalid".to_owned()));
    assert_eq!(json("[".repeat(MAX_LINE_BYTES)), Err("json.malformed".to_owned()));
}

#[test]
fn a_line_may_have_a_mebibyte_and_no_more() {
    let fill = MAX_LINE_BYTES - USUAL.len();
    let longest = format!("{USUAL}{}", " ".repeat(fill));
    assert!(json(&longest).is_ok());
    assert_eq!(json(longest + " "), Err("json.malformed".to_owned()));
    let fill = MAX_LINE_BYTES - "2020-11-01,1.,1,p".len();
    let longest = format!("2020-11-01,1.{},1,p", "0".repeat(fill));
    assert!(csv(&longest).is_ok());
    assert_eq!(csv(longest + "p"), Err("csv.malformed".to_owned()));
}

#[test]
fn a_raw_control_character_is_malformed_in_any_string_and_tabs_between_tokens_are_not() {
    let usual = |key: &str| {
        format!(
            "{{\"day\":\"2020-11-01\",\t\"event_data\":{{\"value_prop\":\"p\"}}\r,\"user_id\":1,{key}:1}}"
        )
    };
    let malformed = |line: &str| {
        let mut scratch = Scratch::default();
        match check_json(line.as_bytes(), &rules(), &mut scratch) {
            Verdict::Accepted(_) => false,
            Verdict::Rejected { faults, .. } => faults[0].code == Code::JsonMalformed,
        }
    };
    assert!(!malformed(&usual("\"k\"")));
    assert!(!malformed(&usual("\"k\\u0001\"")));
    for byte in 0..0x20_u8 {
        let key = format!("\"k{}\\n\"", char::from(byte));
        assert!(malformed(&usual(&key)), "{byte}");
        assert!(malformed(&usual(&key.replace("\\n", ""))), "{byte}");
    }
}

#[test]
fn what_is_not_one_object_is_malformed() {
    for line in [
        "",
        " ",
        "null",
        "1",
        "\"a\nb\"",
        "[1,2]",
        "{",
        "{\"day\"}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{} {}",
        "{}x",
        "\u{feff}{}",
        "\u{a0}{}",
        "{\"a\":NaN}",
        "{\"a\":1}//",
        "{\"a\" 1}",
        "{\"\\ud8\":1}",
        "{\"a\":\"\\u00g0\"}",
        "{\"a\":\"\u{1f}\"}",
    ] {
        assert_eq!(json(line), Err("json.malformed".to_owned()), "{line}");
    }
    for line in [&b"{\"a\":\"\xff\"}"[..], b"{\"a\":\"\xed\xa0\x80\"}", b"\xff"] {
        assert_eq!(json(line), Err("json.malformed".to_owned()));
    }
}

#[test]
fn every_rule_of_a_payment_has_its_code() {
    for (line, code) in [
        ("2020-11-01,5.00,1", "csv.malformed"),
        ("2020-11-01,5.00,1,p,", "csv.malformed"),
        (" ", "csv.malformed"),
        ("\"2020-11-01,5.00,1,p", "csv.malformed"),
        (",5,1,p", "timestamp.missing"),
        ("\u{a0},5,1,p", "timestamp.missing"),
        ("2020,5,1,p", "timestamp.invalid"),
        ("2015-12-02,5,1,p", "timestamp.out_of_bounds"),
        ("2020-11-01,5,,p", "user_id.missing"),
        ("2020-11-01,5,\"\",p", "user_id.missing"),
        ("2020-11-01,5, ,p", "user_id.blank"),
        ("2020-11-01,5,1,", "value_prop.missing"),
        ("2020-11-01,5,1,\" \"", "value_prop.blank"),
        ("2020-11-01,,1,p", "amount.missing"),
        ("2020-11-01, ,1,p", "amount.missing"),
        ("2020-11-01,x,1,p", "amount.invalid"),
        ("2020-11-01,\"1,000\",1,p", "amount.invalid"),
        ("2020-11-01,1000000.0000001,1,p", "amount.too_large"),
        ("2020-11-01,1e9999,1,p", "amount.too_large"),
        ("2020-11-01,-1e9999,1,p", "amount.not_positive"),
        ("2020-11-01,0.005,1,p", "amount.not_positive"),
        ("2020-11-01,-0,1,p", "amount.not_positive"),
        ("x,x,,", "timestamp.invalid;user_id.missing;value_prop.missing;amount.invalid"),
    ] {
        assert_eq!(csv(line), Err(code.to_owned()), "{line}");
    }
    let long = format!("2020-11-01,5,{0},{0}", "u".repeat(101));
    assert_eq!(csv(long).unwrap_err(), "user_id.too_long;value_prop.too_long");
    assert_eq!(csv("2020-11-01, 2.675 ,98702,p").unwrap(), "1604188800000000|98702|p|268|1");
    assert_eq!(csv("2020-11-01,7.04,\"a\"\"b\",p").unwrap(), "1604188800000000|a\"b|p|704|0");
    assert_eq!(csv("2020-11-01T01:00:00+01:00,.5, 1,p ").unwrap(), "1604188800000000|1|p|50|2");
    assert_eq!(csv(" 2020-11-01,0.015,1 ,p").unwrap(), "1604188800000000|1|p|2|3");
}

#[test]
fn details_name_the_value_and_stay_short() {
    let line = event("\"x\\ny\"", "\"\"", "7", "1.5");
    let Verdict::Rejected { faults, .. } =
        check_json(line.as_bytes(), &rules(), &mut Scratch::default())
    else {
        panic!("accepted");
    };
    let details: Vec<_> = faults.iter().map(|fault| fault.detail.as_str()).collect();
    assert_eq!(
        details,
        [
            "timestamp `x\\ny` is no accepted date or time",
            "user_id is blank",
            "value_prop `7` is not a string",
            "position `1.5` is not an integer of 64 bits",
        ]
    );
    let endless = format!("\"{}\"", "\\n".repeat(500_000));
    for line in [event(&endless, "1", "\"p\"", &endless), endless] {
        let Verdict::Rejected { faults, .. } =
            check_json(line.as_bytes(), &rules(), &mut Scratch::default())
        else {
            panic!("accepted");
        };
        assert!(faults.iter().all(|fault| fault.detail.len() < 1000));
    }
}

/// Lines that are valid or nearly so, of the kind both readers have an opinion on.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let day = prop_oneof![
        4 => Just("\"2020-11-01\"".to_owned()),
        1 => "\"20[12][0-9]-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:00(\\.[0-9]{1,3})?(Z|-0[0-9]:30)?\"",
        1 => prop::sample::select(vec!["null", "\"\"", "\" 2020-11-01\"", "7", "\"2010-01-01\""])
            .prop_map(str::to_owned),
    ];
    let id = prop_oneof![
        2 => "-?[0-9]{1,6}",
        2 => "\"[a-z_0-9 éß€𝄞\u{a0}]{0,6}\"",
        1 => prop::sample::select(vec![
            "null", "1.0", "1e5", "\"\\u0061\"", "\"\\ud800\"", "\"\\\"\"", "true", "\"\u{3000}\"",
        ]).prop_map(str::to_owned),
    ];
    let position = prop::sample::select(vec![
        "0",
        "3",
        "null",
        "-0",
        "-1",
        "007",
        "9223372036854775807",
        "9223372036854775808",
        "1.0",
        "1e2",
        "\"1\"",
    ]);
    let space = "[ \t\r]{0,2}";
    let parts =
        (day, id.clone(), id, position, space, any::<[bool; 3]>(), any::<prop::sample::Index>());
    parts.prop_map(|(day, user_id, value_prop, position, space, flips, extra)| {
        let s = space.as_str();
        let pair = |key: &str, value: &str| format!("{s}\"{key}\"{s}:{s}{value}{s}");
        let mut inner = [pair("position", position), pair("value_prop", &value_prop)];
        if flips[0] {
            inner.reverse();
        }
        let data = format!("{{{}}}", inner.join(","));
        let mut outer =
            vec![pair("day", &day), pair("event_data", &data), pair("user_id", &user_id)];
        let extras = ["\"x\":1", "\"day\":\"2020-11-01\"", "\"d\\u0061y\":1", "\"user_id\":1", ""];
        if flips[1] && flips[2] {
            outer.push(extra.get(&extras).to_string());
        }
        if flips[2] {
            outer.rotate_left(1);
        }
        format!("{s}{{{}}}{s}", outer.join(",")).into_bytes()
    })
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (0_u8..6, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>());
    (line(), prop::collection::vec(change, 0..3)).prop_map(|(mut line, changes)| {
        for (kind, at, other, byte) in changes {
            let at = at.index(line.len().max(1));
            let structural = b"{}[]:,\"\\ \t\r\n-+.eE01\x7f\x1f\xc3\xa9n";
            match kind {
                0 if at < line.len() => line[at] = byte,
                1 if at < line.len() => line[at] = structural[other.index(structural.len())],
                2 => line.insert(at, structural[other.index(structural.len())]),
                3 if at < line.len() => drop(line.remove(at)),
                4 => line.truncate(at),
                _ => {
                    let end = (at + other.index(12)).min(line.len());
                    let piece = line[at.min(end)..end].to_vec();
                    line.splice(at..at, piece);
                }
            }
        }
        line
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_fast_reader_finds_what_serde_json_finds_or_gives_up(line in mutated()) {
        if let Some(fast) = json_fast::read(&line) {
            let mut scratch = Scratch::default();
            prop_assert_eq!(json::read(&line, &mut scratch), Ok(fast));
        }
        prop_assert_eq!(json(&line), json_slowly(&line));
    }
}

#[test]
fn the_fast_reader_agrees_on_every_single_byte_of_the_usual_line() {
    let lines = [
        USUAL.to_owned(),
        USUAL.replace(' ', ""),
        event("\"2020-11-01\"", "\"é\"", "\"p\"", "null"),
    ];
    for line in lines {
        for at in 0..line.len() {
            for byte in 0..=255 {
                let mut line = line.clone().into_bytes();
                line[at] = byte;
                assert_eq!(json(&line), json_slowly(&line));
                line.insert(at, byte);
                assert_eq!(json(&line), json_slowly(&line));
            }
            assert_eq!(json(&line[..at.min(4)]), json_slowly(&line.as_bytes()[..at.min(4)]));
            assert_eq!(json(&line.as_bytes()[..at]), json_slowly(&line.as_bytes()[..at]));
        }
    }
}
