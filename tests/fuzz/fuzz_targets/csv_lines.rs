//! Lines of CSV: blocks of them against the reader of single lines, and that one against the csv
//! crate.
#![no_main]

use std::sync::{LazyLock, Mutex};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use mp_fuzz::record::{Code, CsvColumns, Decimal, Lines, Rules, Scratch, Verdict, check_csv};

/// The header of a file whose first line is none.
const USUAL_HEADER: &[u8] = b"pay_date,total,user_id,value_prop";

/// Values that matter to some rule, or to the fast reading.
const VALUES: &[&[u8]] = &[
    b"pay_date",
    b"total",
    b"user_id",
    b"value_prop",
    b"",
    b",",
    b"\"",
    b"\"\"",
    b"\"a\"",
    b"\"a,b\"",
    b"\"a\"\"b\"",
    b"a\"b",
    b"5.25",
    b"0.00",
    b"0.01",
    b"0.005",
    b"5/25",
    b"5",
    b"5.2",
    b".5",
    b"5.",
    b"05.25",
    b"+5.25",
    b"-5.25",
    b"1e3",
    b"999999.99",
    b"1000000.00",
    b"1000000.01",
    b"12345678.90",
    b"123456789.00",
    b"2020-11-01",
    b"2020-11-02",
    b"2015-12-02",
    b"2015-12-03",
    b"2020-11-31",
    b" 2020-11-01",
    b"2020-11-01T10:00:00Z",
    b"2020-11-01 10:00:00.123456789+00:30",
    b"1",
    b"98702",
    b"3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    b"p",
    b"prepaid",
    b" prepaid",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"\xe3\x80\x80p",
    b"\xff",
    b"\0",
    b"\r",
    b"                                ",
    &[b'x'; 31],
    &[b'x'; 32],
    &[b'x'; 64],
    &[b'x'; 100],
    &[b'x'; 101],
    &[b'x'; 512],
];

fuzz_target!(|file: &[u8]| {
    let first = Lines::first(file).0;
    let header = if CsvColumns::from_header(first).is_ok() { first } else { USUAL_HEADER };
    let columns = CsvColumns::from_header(header).expect("a header");
    // The header counts as a line like others.
    mp_fuzz::check(file, Some(&columns));

    let names = fields(header).expect("fields");
    let place = |name| names.iter().position(|field| field.trim() == name).expect("a column");
    let ids = [place("user_id"), place("value_prop")];
    for line in Lines::new(file) {
        if !line.bytes.is_empty() {
            agrees_with_the_csv_crate(line.bytes, &columns, ids);
        }
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mp_fuzz::mutate(data, size, max_size, seed, VALUES)
});

/// What a line that is not malformed says is what the csv crate reads in it. That one understands
/// more: quotes that are not where they belong.
fn agrees_with_the_csv_crate(line: &[u8], columns: &CsvColumns, ids: [usize; 2]) {
    let rules = Rules { oldest_us: i64::MIN, max_amount: Decimal::parse("1e9").expect("a number") };
    let mut scratch = Scratch::default();
    let verdict = check_csv(line, columns, &rules, &mut scratch);
    let shown = line.escape_ascii();
    let read = fields(line).filter(|fields| fields.len() == columns.width());
    if let Verdict::Rejected { faults, .. } = &verdict
        && faults[0].code == Code::CsvMalformed
    {
        assert!(read.is_none() || line.contains(&b'"'), "{faults:?}: {shown}");
        return;
    }
    let fields = read.unwrap_or_else(|| panic!("{verdict:?}, not for the csv crate: {shown}"));
    if let Verdict::Accepted(row) = verdict {
        let read = ids.map(|place| fields[place].trim());
        assert_eq!([row.user_id, row.value_prop], read, "{shown}");
    }
}

/// The reader of the csv crate; to make one takes longer than to read a line.
static READER: LazyLock<Mutex<Reader>> = LazyLock::new(|| {
    let reader = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
    Mutex::new(reader)
});

/// The fields of a line for the csv crate; nothing if they are no text, or a quote is left open.
fn fields(line: &[u8]) -> Option<Vec<String>> {
    let mut reader = READER.lock().expect("no panic before");
    reader.reset();
    // Behind an empty line, for it would take a byte order mark from the first one. There is more
    // room than it needs, else it stops.
    let line = [b"\n", line, b"\n"].concat();
    let (mut text, mut ends) = (vec![0; line.len()], vec![0; line.len()]);
    let (result, _, _, count) = reader.read_record(&line, &mut text, &mut ends);
    if result != ReadRecordResult::Record {
        return None;
    }
    let starts = [0].into_iter().chain(ends.iter().copied());
    let bounds = starts.zip(ends.iter().copied()).take(count);
    bounds.map(|(start, end)| Some(str::from_utf8(&text[start..end]).ok()?.to_owned())).collect()
}
