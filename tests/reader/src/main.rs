//! Opens the Parquet files of a folder again and again, reads every value, and tells what it saw.
//!
//! Orders come on stdin: `watch FILE…` (tab-separated) begins, `stop` ends and has it told on stdout, one
//! line each:
//!
//! - `passes N`: how often it went through all of the files
//! - `saw FILE ROWS CHECKSUM`: each state of a file, once
//! - `gone FILE`: it was there, and then it was not
//! - `bad FILE WHY`: it could not be read
//! - `end`
//!
//! Knows nothing of mp.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parquet::column::reader::ColumnReader;
use parquet::file::reader::{FileReader, SerializedFileReader};

/// Values that are read at a time.
const BATCH: usize = 8 * 1024;
/// At least so long between two passes, and as long as the last one took: the processor is for those it
/// watches.
const PAUSE: Duration = Duration::from_millis(1);

/// Reads each value of a column and adds it to the checksum.
macro_rules! add_values {
    ($reader:expr, $hasher:expr, $add:expr) => {{
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        loop {
            values.clear();
            levels.clear();
            let (rows, _, _) = $reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
            if rows == 0 {
                break;
            }
            for level in &levels {
                $hasher.write_i16(*level);
            }
            for value in &values {
                $add(&mut *$hasher, value);
            }
        }
    }};
}

fn add_column(column: ColumnReader, hasher: &mut DefaultHasher) -> Result<(), Box<dyn Error>> {
    match column {
        ColumnReader::BoolColumnReader(mut reader) => {
            add_values!(reader, hasher, |h: &mut DefaultHasher, v: &bool| h.write_u8((*v).into()));
        }
        ColumnReader::Int32ColumnReader(mut reader) => {
            add_values!(reader, hasher, |h: &mut DefaultHasher, v: &i32| h.write_i32(*v));
        }
        ColumnReader::Int64ColumnReader(mut reader) => {
            add_values!(reader, hasher, |h: &mut DefaultHasher, v: &i64| h.write_i64(*v));
        }
        ColumnReader::DoubleColumnReader(mut reader) => {
            add_values!(reader, hasher, |h: &mut DefaultHasher, v: &f64| h.write_u64(v.to_bits()));
        }
        ColumnReader::ByteArrayColumnReader(mut reader) => {
            add_values!(
                reader,
                hasher,
                |h: &mut DefaultHasher, v: &parquet::data_type::ByteArray| {
                    h.write(v.data());
                    h.write_u8(0xff);
                }
            );
        }
        _ => return Err("a column of a type that mp does not write".into()),
    }
    Ok(())
}

/// Rows and checksum of a whole file.
fn read(file: File) -> Result<(i64, u64), Box<dyn Error>> {
    let reader = SerializedFileReader::new(file)?;
    let mut hasher = DefaultHasher::new();
    let mut rows = 0;
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number)?;
        rows += group.metadata().num_rows();
        for column in 0..group.num_columns() {
            add_column(group.get_column_reader(column)?, &mut hasher)?;
        }
    }
    if rows != reader.metadata().file_metadata().num_rows() {
        return Err("the row groups do not add up to the rows of the footer".into());
    }
    Ok((rows, hasher.finish()))
}

/// What was seen, as lines.
#[derive(Default)]
struct Sight {
    passes: u64,
    lines: BTreeSet<String>,
    there: BTreeSet<String>,
}

impl Sight {
    fn look(&mut self, path: &str) {
        let line = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if !self.there.contains(path) {
                    return;
                }
                format!("gone\t{path}")
            }
            Err(error) => format!("bad\t{path}\t{error}"),
            Ok(file) => {
                self.there.insert(path.to_owned());
                match read(file) {
                    Ok((rows, checksum)) => format!("saw\t{path}\t{rows}\t{checksum:016x}"),
                    Err(error) => format!("bad\t{path}\t{error}"),
                }
            }
        };
        self.lines.insert(line);
    }
}

fn watch(paths: Vec<String>, stop: &AtomicBool) -> Sight {
    let mut sight = Sight::default();
    // Once at least, and once more after the order to stop: the last state is always seen.
    loop {
        let last = stop.load(Ordering::Acquire);
        let began = Instant::now();
        paths.iter().for_each(|path| sight.look(path));
        sight.passes += 1;
        if last {
            return sight;
        }
        thread::sleep(began.elapsed().max(PAUSE));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut at_work: Option<(Arc<AtomicBool>, JoinHandle<Sight>)> = None;
    for order in std::io::stdin().lock().lines() {
        let order = order?;
        let mut words = order.split('\t').map(str::to_owned);
        match (words.next().as_deref(), at_work.take()) {
            (Some("watch"), None) => {
                let stop = Arc::new(AtomicBool::new(false));
                let (paths, flag) = (words.collect(), Arc::clone(&stop));
                at_work = Some((stop, thread::spawn(move || watch(paths, &flag))));
            }
            (Some("stop"), Some((stop, thread))) => {
                stop.store(true, Ordering::Release);
                let sight = thread.join().map_err(|_| "a panic while reading")?;
                let mut out = std::io::stdout().lock();
                writeln!(out, "passes\t{}", sight.passes)?;
                for line in &sight.lines {
                    writeln!(out, "{}", line.replace('\n', " "))?;
                }
                writeln!(out, "end")?;
                out.flush()?;
            }
            (word, _) => return Err(format!("no order: {word:?}").into()),
        }
    }
    Ok(())
}
