//! Blocks of lines against the same lines judged one by one, and what is learned from them.

use proptest::prelude::*;

use super::agreement::agree;
use crate::record::CsvColumns;

fn columns(header: &str) -> CsvColumns {
    CsvColumns::from_header(header.as_bytes()).unwrap()
}

/// Many more cases for `tests/run --long`.
fn cases(usual: u32) -> ProptestConfig {
    let long = std::env::var_os("MP_TEST_LONG").is_some_and(|value| value != "0");
    ProptestConfig::with_cases(if long { usual * 100 } else { usual })
}

const PRINT: &str = r#"{"day": "2020-11-01", "event_data": {"position": 0, "value_prop": "prepaid"}, "user_id": 98702}"#;
const HEADER: &str = "pay_date,total,user_id,value_prop";
const PAYMENT: &str = "2020-11-01,5.25,98702,prepaid";

#[test]
fn the_lines_of_a_log_are_read_by_what_was_learned_from_the_first() {
    for end in ["\n", "\r\n"] {
        let positions = ["\"position\": 0, ", "\"position\": null, ", ""];
        for line in positions.map(|position| PRINT.replace(positions[0], position)) {
            let lines = format!("{line}{end}").repeat(100);
            // Neither the first line, nor the last, behind which is less than a window.
            assert_eq!(agree(&[lines.as_bytes()], 0, None), 98, "{line}");
        }
        let lines = format!("{PAYMENT}{end}").repeat(100);
        // CSV has its header to learn from.
        assert_eq!(agree(&[lines.as_bytes()], 0, Some(&columns(HEADER))), 99);
    }
    let layouts = [
        PRINT.to_owned(),
        PRINT.replace(' ', ""),
        PRINT.replace("98702", "\"98702\""),
        PRINT.replace("\"position\": 0, ", ""),
    ];
    let lines = layouts.map(|line| line + "\n").concat().repeat(100);
    assert!(agree(&[lines.as_bytes()], 0, None) >= 394);
}

#[test]
fn a_line_without_a_number_teaches_those_that_have_one_and_the_other_way_round() {
    let null = PRINT.replace("0, ", "null, ");
    for lines in [[&null, PRINT], [PRINT, &null]] {
        let lines = format!("{}\n{}\n", lines[0], lines[1]).repeat(50);
        assert_eq!(agree(&[lines.as_bytes()], 0, None), 98);
    }
    for other in ["nul", "nulls", "null0", "Null", "nil", "-null", "\"null\"", "[null]", "0null"] {
        let lines = format!("{null}\n{}\n", null.replace("null", other)).repeat(3);
        agree(&[lines.as_bytes()], 0, None);
    }
}

#[test]
fn values_are_remembered_only_for_what_they_are() {
    let print = |day: &str, prop: &str, user: &str, position: &str| {
        let line = PRINT.replace("2020-11-01", day).replace("prepaid", prop);
        line.replace("98702", user).replace(": 0", &format!(": {position}")) + "\n"
    };
    let payment =
        |day: &str, prop: &str, user: &str, total: &str| format!("{day},{total},{user},{prop}\n");
    let days = [
        "",
        "2020-11-01",
        "2020-11-01T10:00:00Z",
        "2020-11-01T10:00:00.123456789+00:30",
        "2010-01-01",
        " 2020-11-01",
        "2020-11-01 ",
        "2020-11-0",
        "2020-11-011",
        "x",
    ];
    let thirty_one = "x".repeat(31);
    let thirty_two = "x".repeat(32);
    let longest = "é".repeat(100);
    let too_long = "x".repeat(101);
    let endless = "x".repeat(2000);
    let props = [
        "",
        "p",
        "prepaid",
        "prepai",
        "prepaid ",
        "pré paid",
        "\u{3000}p",
        "a\\u0062",
        "a\\",
        &thirty_one,
        &thirty_two,
        &longest,
        &too_long,
        &endless,
        "\"\"",
        "\t",
        "\u{7f}",
        "\0",
        "\0\0",
    ];
    let users = ["1", "0", "01", "-0", "-1", "1.0", "null", "12345678901234567890123456789012"];
    let numbers = [
        "0",
        "9",
        "10",
        "-0",
        "null",
        "nul",
        "01",
        "1.5",
        "999999999999999999",
        "9223372036854775808",
    ];
    let totals = [
        "5.25",
        "5",
        "5.2",
        "0.00",
        "0.01",
        "12345678.90",
        "123456789.00",
        "1000000.00",
        "1000000.01",
        "999999.99",
        ".5",
        "5.",
        "5.255",
        "+5.25",
        "5,25",
        "",
        "5.2x",
        "5/25",
    ];
    let mut prints = print("", "p", "1", "0") + &print("2020-11-01", "p", "1", "0");
    // The very first line that is read by template has the day that is nothing.
    prints += &print("", "p", "1", "0");
    let mut payments = String::new();
    for day in days {
        for prop in props {
            prints += &print(day, prop, "1", "0");
            payments += &payment(day, prop, "1", "5.25");
            prints += &print("2020-11-01", prop, "\"u\"", "3");
        }
        for user in users {
            prints += &print(day, "p", user, "0");
            prints += &print(day, "p", &format!("\"{user}\""), "0");
            payments += &payment(day, "p", user, "7.00");
        }
        for (number, total) in numbers.into_iter().chain(["0"; 8]).zip(totals) {
            prints += &print(day, "p", "1", number);
            payments += &payment(day, "p", "1", total);
        }
    }
    for props in [&props[..], &["", "\"a\"", "\"a,b\"", "a\"b", "\r"]] {
        payments +=
            &props.iter().map(|prop| payment("2020-11-01", prop, prop, "1.00")).collect::<String>();
    }
    agree(&[prints.as_bytes(), prints.as_bytes()], 0, None);
    for header in
        [HEADER, "x,value_prop,total,user_id,pay_date", "value_prop,user_id,total,pay_date,"]
    {
        let columns = columns(header);
        agree(&[payments.as_bytes(), payments.as_bytes()], 0, Some(&columns));
        let turned: String = payments
            .lines()
            .map(|line| {
                let fields: Vec<&str> = line.splitn(4, ',').collect();
                let of = |name: &str| match name {
                    "pay_date" => fields[0],
                    "total" => fields[1],
                    "user_id" => fields[2],
                    "value_prop" => fields[3],
                    _ => "other",
                };
                header.split(',').map(of).collect::<Vec<_>>().join(",") + "\r\n"
            })
            .collect();
        agree(&[turned.as_bytes(), turned.as_bytes()], 1, Some(&columns));
    }
}

#[test]
fn blank_lines_and_skipped_ones_count_and_are_nothing_else() {
    let text = format!("\n \t\r\n\r\n{PRINT}\n\n{PRINT}\r");
    for skip in 0..8 {
        agree(&[text.as_bytes(), b"", b"\n", b"\r"], skip, None);
    }
    let text = format!("\r\n{HEADER}\n\n{PAYMENT}\n \n\r\n{PAYMENT}\r\r\n{PAYMENT}\r");
    for skip in 0..8 {
        agree(&[text.as_bytes(), b"", b"\n", b"\r"], skip, Some(&columns(HEADER)));
    }
}

#[test]
fn a_line_that_is_too_long_or_no_text_does_not_hide_its_neighbours() {
    let long = format!("{}{}\n", PRINT, " ".repeat(crate::record::MAX_LINE_BYTES));
    let print = format!("{PRINT}\n");
    let text =
        [print.as_bytes(), long.as_bytes(), print.as_bytes(), b"\xff\n\xff\n", print.as_bytes()];
    agree(&[&text.concat()], 0, None);
    let payment = format!("{PAYMENT}\n");
    let wide = format!("{PAYMENT},{}\n", "x".repeat(crate::record::MAX_LINE_BYTES));
    let text = [payment.as_bytes(), b"a\xff,\n", wide.as_bytes(), payment.as_bytes(), b"\xe2\x82"];
    agree(&[&text.concat()], 0, Some(&columns(HEADER)));
    let many = format!("{HEADER}{}", ",x".repeat(20));
    let text = format!("{PAYMENT}{}\n", ",".repeat(20)).repeat(5);
    agree(&[text.as_bytes()], 0, Some(&columns(&many)));
}

#[test]
fn every_byte_of_a_known_line_matters() {
    let prints = [PRINT.to_owned(), PRINT.replace(' ', "").replace("98702", "\"é b\"")];
    let csv = columns(HEADER);
    let payments = [PAYMENT.to_owned(), "2020-11-01T10:00:00Z,1234567.5,é b,x\r".to_owned()];
    let formats = [(prints, None), (payments, Some(&csv))];
    for (line, columns) in
        formats.iter().flat_map(|(lines, columns)| lines.iter().map(move |line| (line, *columns)))
    {
        let known = format!("{line}\n").repeat(2);
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        let mut check = |line: &[u8]| {
            blocks.push([known.as_bytes(), line, b"\n", known.as_bytes()].concat());
        };
        for at in 0..=line.len() {
            let (start, rest) = line.as_bytes().split_at(at);
            check(start);
            check(rest);
            for byte in 0..=255 {
                check(&[start, &[byte], rest].concat());
                check(&[start, &[byte], rest.get(1..).unwrap_or_default()].concat());
            }
        }
        agree(&blocks.iter().map(Vec::as_slice).collect::<Vec<_>>(), 0, columns);
    }
}

/// A way to write a print: white space, order of keys, kinds of values.
fn layout() -> impl Strategy<Value = String> {
    let spaces = prop::collection::vec("[ \t\r]{0,2}| {30,36}", 12);
    let position = prop::sample::select(vec![None, Some("null"), Some("NUMBER"), Some("NUMBER")]);
    let extra = prop::sample::select(vec!["", "", ",\"x\":[1]"]);
    (spaces, any::<[bool; 3]>(), 0_usize..3, position, extra).prop_map(
        |(spaces, flips, turn, position, extra)| {
            let [s, t, u] = [&spaces[0], &spaces[1], &spaces[2]];
            let mut inner = vec![format!("\"value_prop\"{s}:{t}\"PROP\"{u}")];
            if let Some(position) = position {
                inner.push(format!("{}\"position\"{}:{position}", spaces[3], spaces[4]));
            }
            if flips[0] {
                inner.reverse();
            }
            let user = if flips[1] { "USER" } else { "\"USER\"" };
            let mut outer = [
                format!("{}\"day\"{}:{}\"DAY\"{}", spaces[5], spaces[6], spaces[7], spaces[8]),
                format!("{}\"user_id\":{}{user}", spaces[9], spaces[10]),
                format!("\"event_data\":{{{}}}{}", inner.join(","), spaces[11]),
            ];
            outer.rotate_left(turn);
            let end = if flips[2] { "\r\n" } else { "\n" };
            format!("{s}{{{}{extra}}}{t}{end}", outer.join(","))
        },
    )
}

const DAYS: &[&str] =
    &["2020-11-01", "2020-11-02", "2020-11-01T10:00:00Z", "", "2010-01-01", " 2020-11-02"];
const PROPS: &[&str] =
    &["prepaid", "point", "credits_consumer", "é", " p", "", "a\\n", "link_cobro"];
const USERS: &[&str] = &["1", "98702", "0", "-5", "abc", "12345678901234567890", "é 𝄞", "1302180"];
const NUMBERS: &[&str] = &["0", "3", "12", "null", "-1", "1.0", "123456789"];
const TOTALS: &[&str] =
    &["5.25", "44.32", "1234567.00", "999999.99", "7", "0.00", "1e3", ".5", "x"];

/// Lines from forms with values put in, nearly all as they should be, a byte changed here and there;
/// cut into blocks.
fn blocks(forms: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let line = (
        any::<prop::sample::Index>(),
        any::<[u8; 5]>(),
        prop::option::weighted(0.1, (any::<prop::sample::Index>(), 0_u8..4, any::<u8>())),
    );
    (forms, prop::collection::vec(line, 1..40), any::<bool>(), 1_usize..20).prop_map(
        |(forms, picks, has_end, block_lines)| {
            let mut lines: Vec<Vec<u8>> = Vec::new();
            for (form, values, change) in picks {
                let pick = |from: &[&'static str], n: u8| {
                    from[usize::from(n) * usize::from(n) / 4 % from.len()]
                };
                let mut line = form
                    .get(&forms)
                    .replace("DAY", pick(DAYS, values[0] % 8))
                    .replace("PROP", pick(PROPS, values[1] % 16))
                    .replace("USER", pick(USERS, values[2]))
                    .replace("NUMBER", pick(NUMBERS, values[3] % 16))
                    .replace("TOTAL", pick(TOTALS, values[4] % 16))
                    .into_bytes();
                if let Some((at, kind, byte)) = change {
                    let at = at.index(line.len());
                    match kind {
                        0 => line[at] = byte,
                        1 => line.insert(at, byte),
                        2 => drop(line.remove(at)),
                        _ => line[at] = b"\"\\,:{}\n\r 0.\xc3"[usize::from(byte) % 12],
                    }
                }
                lines.push(line);
            }
            if !has_end {
                let line = lines.last_mut().map(Vec::pop);
                assert!(line.is_some());
            }
            // A changed line may have lost its end; then it goes on in the next one.
            let whole = lines.concat();
            let ends: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
            ends.chunks(block_lines).map(<[&[u8]]>::concat).collect()
        },
    )
}

fn header() -> impl Strategy<Value = String> {
    let names = ["pay_date", "total", "user_id", "value_prop", "x", "y"];
    (4..=names.len())
        .prop_flat_map(move |width| Just(names[..width].to_vec()).prop_shuffle())
        .prop_map(|names| names.join(","))
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn blocks_of_json_agree_with_single_lines(
        blocks in blocks(prop::collection::vec(layout(), 1..7)),
    ) {
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        agree(&blocks, 0, None);
    }

    #[test]
    fn blocks_of_csv_agree_with_single_lines((header, blocks) in header().prop_flat_map(|header| {
        let form = header.replace("pay_date", "DAY").replace("total", "TOTAL");
        let form = form.replace("user_id", "USER").replace("value_prop", "PROP");
        let forms = [
            format!("{form}\n"),
            format!("{form}\r\n"),
            format!("{}\n", form.replace("PROP", "\"PROP\"")),
            format!("{}\n", form.replace('x', "a text that is long enough to make the line longer")),
            format!("{}\n", form.replace("USER", "3f2504e0-4f89-11d3-9a0c-0305e82c3301")),
            format!("{form},\n"),
        ];
        (Just(header), blocks(prop::sample::subsequence(forms.to_vec(), 1..4)))
    })) {
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        agree(&blocks, 0, Some(&columns(&header)));
    }
}
