//! What a block must come to: the same as its lines judged one by one, nothing remembered, JSON
//! by serde_json alone.
//!
//! Panics where that is not so. For tests only: the property tests of this folder, and the fuzz
//! targets of `tests/fuzz`, which compile this file as a part of theirs.

use crate::record::{
    BlockParser, CsvColumns, Decimal, Lines, Place, PropCode, Rejection, Row, Rules, Scratch, Sink,
    Verdict, check_csv, check_json, check_json_slowly, json_line_is_blank,
};

/// The bounds for all lines: 2015-12-03, and a million.
pub(crate) fn rules() -> Rules {
    let max_amount = Decimal::parse("1000000").expect("a number");
    Rules { oldest_us: 1_449_100_800_000_000, max_amount }
}

/// Takes the records of a block and judges each line once more.
struct Check<'a> {
    block: &'a [u8],
    lines: Lines<'a>,
    columns: Option<&'a CsvColumns>,
    rules: &'a Rules,
    scratch: Scratch,
    /// Of the lines so far: all, the blank ones, the records.
    counts: [u32; 3],
    /// Rows with a code so far, of all blocks.
    coded: &'a mut usize,
    /// The texts that the codes stood for, of all blocks.
    texts: &'a mut Vec<Option<String>>,
}

impl<'a> Check<'a> {
    /// The next record that there must be.
    fn next_record(&mut self) -> Option<(Place, &'a [u8])> {
        for line in self.lines.by_ref() {
            let [lines, blank_lines, records] = &mut self.counts;
            *lines += 1;
            let is_blank = match self.columns {
                Some(_) => line.bytes.is_empty(),
                None => json_line_is_blank(line.bytes),
            };
            if !is_blank {
                let place = Place { line: line.index, record: *records, offset: line.offset };
                *records += 1;
                return Some((place, line.bytes));
            }
            *blank_lines += 1;
        }
        None
    }

    /// Holds a record that was found against that which there must be.
    fn record(&mut self, place: Place, found: &Verdict<'_>, raw: Option<&[u8]>) {
        let block = self.block;
        let (expected, line) = self.next_record().unwrap_or_else(|| {
            panic!("no record at {place:?} of {}: {found:?}", block.escape_ascii())
        });
        let Check { columns, rules, scratch, .. } = self;
        assert_eq!(place, expected, "{}", block.escape_ascii());
        assert_eq!(raw.unwrap_or(line), line, "{}", block.escape_ascii());
        let told = || format!("{} in {}", line.escape_ascii(), block.escape_ascii());
        match columns {
            Some(columns) => {
                assert_eq!(*found, check_csv(line, columns, rules, scratch), "{}", told());
            }
            None => {
                assert_eq!(*found, check_json_slowly(line, rules, scratch), "{}", told());
                assert_eq!(*found, check_json(line, rules, scratch), "alone: {}", told());
            }
        }
    }
}

impl Sink for Check<'_> {
    fn accept(&mut self, place: Place, row: Row<'_>, code: Option<PropCode>) {
        self.record(place, &Verdict::Accepted(row), None);
        if let Some(code) = code {
            assert!(code.index() < PropCode::LIMIT);
            *self.coded += 1;
            self.texts.resize(PropCode::LIMIT, None);
            let text = self.texts[code.index()].get_or_insert_with(|| row.value_prop.to_owned());
            assert_eq!(text, row.value_prop, "one code, one text");
        }
    }

    fn reject(&mut self, place: Place, rejection: Rejection<'_>) {
        let Rejection { timestamp_us, faults, raw } = rejection;
        self.record(place, &Verdict::Rejected { timestamp_us, faults }, Some(raw));
    }
}

/// Parses blocks with one parser, each as it should be. Returns how many rows had a code, which
/// only those have that were read by what was learned before.
pub(crate) fn agree(blocks: &[&[u8]], skip_lines: u32, columns: Option<&CsvColumns>) -> usize {
    let rules = rules();
    let mut parser = BlockParser::new(&rules, columns);
    let (mut coded, mut texts) = (0, Vec::new());
    for block in blocks {
        let mut lines = Lines::new(block);
        let skipped = lines.by_ref().take(skip_lines as usize).count() as u32;
        let mut check = Check {
            block,
            lines,
            columns,
            rules: &rules,
            scratch: Scratch::default(),
            counts: [skipped, 0, 0],
            coded: &mut coded,
            texts: &mut texts,
        };
        let counts = parser.parse(block, skip_lines, &mut check);
        let missed = check.next_record();
        assert_eq!(missed, None, "a record is missing of {}", block.escape_ascii());
        let counts = [counts.lines, counts.blank_lines, counts.records];
        assert_eq!(counts, check.counts, "{}", block.escape_ascii());
    }
    let mut texts: Vec<_> = texts.iter().flatten().collect();
    let count = texts.len();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), count, "one text, one code");
    coded
}
