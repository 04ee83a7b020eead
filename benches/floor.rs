//! The floor under any run: the same Silver and Gold columns, already in memory, through the same
//! contract and Parquet writer, several row groups side by side, into nothing.
//!
//! `cargo run --release --example floor -- [--threads N] FILE.parquet…` prints one JSON document. Reading
//! the files is not measured. The modules of the program are compiled in as they stand, since the
//! library shows none of them.

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]
#![expect(dead_code, unused_imports, reason = "the modules have more than is needed here")]

#[path = "../src/as_of.rs"]
mod as_of;
#[path = "../src/contract/mod.rs"]
mod contract;
#[path = "../src/frame/mod.rs"]
mod frame;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use contract::{Bounds, Contract, Measure};
use frame::{
    GoldFrame, GoldRow, Group, GroupEncoder, ParquetRows, SilverFrame, SilverRow, TableWriter,
};
use polars::prelude::*;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A table in memory.
struct Loaded {
    contract: Contract,
    empty: Group,
    groups: Vec<Group>,
    rows: usize,
}

fn main() -> Result<()> {
    let mut threads = 1;
    let mut files = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => threads = arguments.next().ok_or("how many threads?")?.parse()?,
            _ => files.push(PathBuf::from(argument)),
        }
    }
    let tables = files.iter().map(|file| load(file)).collect::<Result<Vec<_>>>()?;
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let mut bytes = 0;
    for table in &tables {
        bytes += write(table, threads)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu.zip(cpu_seconds()).map(|(before, after)| after - before);
    let rows: usize = tables.iter().map(|table| table.rows).sum();
    let cpu = cpu.map_or("null".to_owned(), |cpu| format!("{cpu:.2}"));
    println!(
        r#"{{"rows": {rows}, "bytes": {bytes}, "threads": {threads}, "seconds": {seconds:.3}, "cpu_seconds": {cpu}}}"#
    );
    Ok(())
}

/// Processor time of this process so far, where the system tells it in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let stat = fs_err::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

fn load(file: &Path) -> Result<Loaded> {
    let rows = ParquetRows::open(file)?;
    let mut table: Option<Loaded> = None;
    for (start, length) in rows.row_groups() {
        let frame = rows.frame(start, length)?;
        let group = if frame.column("clicked").is_ok() {
            gold_group(&frame)?
        } else {
            silver_group(&frame)?
        };
        let table = match &mut table {
            Some(table) => table,
            None => table.insert(Loaded {
                contract: contract_of(&frame),
                empty: group.clone(),
                groups: Vec::new(),
                rows: 0,
            }),
        };
        table.rows += frame.height();
        table.groups.push(group);
    }
    table.ok_or_else(|| format!("`{}` has no row group", file.display()).into())
}

fn contract_of(frame: &DataFrame) -> Contract {
    let bounds = Bounds { oldest_us: i64::MIN, as_of_us: i64::MAX - 1, max_amount: f64::MAX };
    if frame.column("clicked").is_ok() {
        contract::gold(i64::MIN, i64::MAX)
    } else {
        let amounts = frame.column("amount").is_ok();
        let mut silver = contract::silver(measure_of(amounts), bounds, !amounts);
        // When the files were made is not known here.
        silver.columns.iter_mut().for_each(|rule| {
            if rule.name == "processed_at" {
                rule.checks.clear();
            }
        });
        silver
    }
}

fn measure_of(amounts: bool) -> Measure {
    if amounts { Measure::Amount } else { Measure::Position }
}

/// Texts by number, for the time of a row group.
#[derive(Default)]
struct Numbers<'f>(std::collections::BTreeMap<&'f str, u32>);

impl<'f> Numbers<'f> {
    fn number(&mut self, text: &'f str) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(text).or_insert(next)
    }
}

fn silver_group(frame: &DataFrame) -> Result<Group> {
    let text = |name: &str| Ok::<_, PolarsError>(frame.column(name)?.str()?.clone());
    let (users, props, files) = (text("user_id")?, text("value_prop_id")?, text("source_file")?);
    let times = frame.column("timestamp")?.datetime()?.physical().clone();
    let processed = frame.column("processed_at")?.datetime()?.physical().clone();
    let numbers = frame.column("row_number")?.i64()?;
    let duplicates = frame.column("duplicate_flag")?.bool()?;
    let scores = frame.column("data_quality_score")?.f64()?;
    let positions = frame.column("position").ok().map(Column::i64).transpose()?;
    let amounts = frame.column("amount").ok().map(Column::f64).transpose()?;
    let mut group = SilverFrame::new(measure_of(amounts.is_some()), processed.get(0).unwrap_or(0));
    let (mut prop_numbers, mut file_numbers) = (Numbers::default(), Numbers::default());
    for row in 0..frame.height() {
        let position = || positions?.get(row).map(|position| position as u64 + 1);
        let cents = || amounts?.get(row).map(|amount| (amount * 100.0).round() as u64);
        let (prop, file) = (props.get(row).unwrap_or(""), files.get(row).unwrap_or(""));
        let silver = SilverRow {
            user: users.get(row).unwrap_or("").as_bytes(),
            first_of_user: row == 0 || users.get(row) != users.get(row - 1),
            timestamp_us: times.get(row).unwrap_or(0),
            value_prop: prop_numbers.number(prop),
            measure: position().or_else(cents).unwrap_or(0),
            file: file_numbers.number(file),
            row_number: numbers.get(row).unwrap_or(0) as u64,
            duplicate: duplicates.get(row).unwrap_or(false),
            soft_issues: ((1.0 - scores.get(row).unwrap_or(1.0)) * 4.0) as u8,
        };
        group.push(&silver, || prop.as_bytes(), || file);
    }
    Ok(group.take())
}

fn gold_group(frame: &DataFrame) -> Result<Group> {
    let text = |name: &str| Ok::<_, PolarsError>(frame.column(name)?.str()?.clone());
    let count = |name: &str| Ok::<_, PolarsError>(frame.column(name)?.i64()?.clone());
    let (users, props) = (text("user_id")?, text("value_prop_id")?);
    let times = frame.column("timestamp")?.datetime()?.physical().clone();
    let clicked = frame.column("clicked")?.bool()?;
    let prints = count("prints_count_3w")?;
    let (taps, payments) = (count("taps_count_3w")?, count("payments_count_3w")?);
    let amounts = frame.column("payments_amount_3w")?.f64()?;
    let mut group = GoldFrame::default();
    let mut numbers = Numbers::default();
    for row in 0..frame.height() {
        let prop = props.get(row).unwrap_or("");
        let gold = GoldRow {
            timestamp_us: times.get(row).unwrap_or(0),
            user: users.get(row).unwrap_or("").as_bytes(),
            value_prop: numbers.number(prop),
            clicked: clicked.get(row).unwrap_or(false),
            prints: prints.get(row).unwrap_or(0) as u64,
            taps: taps.get(row).unwrap_or(0) as u64,
            payments: payments.get(row).unwrap_or(0) as u64,
            cents: (amounts.get(row).unwrap_or(0.0) * 100.0).round() as i128,
        };
        group.push(&gold, || prop.as_bytes());
    }
    Ok(group.take())
}

/// Writes a table into nothing; returns how many bytes it would have.
fn write(table: &Loaded, threads: usize) -> Result<u64> {
    let encoder = GroupEncoder::new(&table.empty)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = table.groups.get(number) else { return Ok(done) };
            let inspection = group.inspect(&table.contract)?;
            done.push((number, inspection, encoder.encode(group)?));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut done = Vec::new();
        for worker in workers {
            let part: PolarsResult<Vec<_>> = worker.join().map_err(|_| "a worker panicked")?;
            done.extend(part?);
        }
        Result::Ok(done)
    })?;
    done.sort_by_key(|(number, ..)| *number);
    let mut counter = Counter(0);
    let mut writer = TableWriter::new(&mut counter, &encoder);
    let mut whole = contract::Inspection::new(table.contract.clone());
    for (_, inspection, encoded) in done {
        whole.followed_by(inspection)?;
        writer.write(&encoded)?;
    }
    writer.finish()?;
    match whole.finish().first() {
        Some(failure) => Err(failure.to_string().into()),
        None => Ok(counter.0),
    }
}

/// Counts bytes.
struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
