//! The file of rejected rows: `source_file,line,byte_offset,error_codes,errors,raw`.
//!
//! An input file's rejects are kept without its name, one line each, so that they serve
//! whatever the file is called; [`gather`] puts the name before each line.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::record::Fault;

/// The columns of the published file.
const HEADER: &str = "source_file,line,byte_offset,error_codes,errors,raw\n";

/// One rejected row: where it stands, what is wrong, and the line itself.
#[derive(Debug)]
pub(super) struct Reject {
    /// Physical line, counted from 0 within its slab.
    pub line: u32,
    /// Offset of its first byte in the decompressed file.
    pub byte_offset: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// The line, made visible.
    pub raw: String,
}

/// Writes rejects of one input file, in file order.
pub(super) struct RejectWriter<W: Write>(csv::Writer<W>);

impl<W: Write> RejectWriter<W> {
    /// Begins without any.
    pub fn new(out: W) -> RejectWriter<W> {
        RejectWriter(csv::WriterBuilder::new().has_headers(false).from_writer(out))
    }

    /// Adds a reject whose slab began after `lines_before` lines of its file.
    pub fn write(&mut self, reject: &Reject, lines_before: u64) -> std::io::Result<()> {
        let codes: Vec<&str> = reject.faults.iter().map(|fault| fault.code.as_str()).collect();
        let details: Vec<&str> = reject.faults.iter().map(|fault| &*fault.detail).collect();
        self.0.write_record([
            (lines_before + u64::from(reject.line) + 1).to_string(),
            reject.byte_offset.to_string(),
            codes.join(";"),
            details.join("; "),
            reject.raw.clone(),
        ])?;
        Ok(())
    }

    /// Hands back what it wrote to.
    pub fn finish(self) -> std::io::Result<W> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// Where the rejects of one input file lie, which may be within those of others.
pub(super) struct Rejects<'n> {
    /// The name of the input file.
    pub of: &'n str,
    pub path: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

/// Writes the rejects of all input files, in their order, as one file with a header.
pub(super) fn gather<'n>(
    files: impl Iterator<Item = Rejects<'n>>,
    mut out: impl Write,
) -> std::io::Result<()> {
    out.write_all(HEADER.as_bytes())?;
    let mut last: Option<(PathBuf, fs_err::File)> = None;
    for Rejects { of, path, offset, bytes } in files {
        let mut file = match last.take() {
            Some((open, file)) if open == path => file,
            _ => fs_err::File::open(&path)?,
        };
        file.seek(SeekFrom::Start(offset))?;
        prefix_lines(of, BufReader::new((&mut file).take(bytes)), &mut out)?;
        last = Some((path, file));
    }
    Ok(())
}

fn prefix_lines(name: &str, mut lines: impl BufRead, out: &mut impl Write) -> std::io::Result<()> {
    let prefix = crate::frame::csv_line(&[name.to_owned()]);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        out.write_all(prefix.as_bytes())?;
        out.write_all(b",")?;
        out.write_all(&line)?;
    }
}
