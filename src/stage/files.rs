//! An extract at work on its raw files: each found in the store by its content, or read and kept.
//!
//! Small files are read several at once, by one thread each, and their results are packed end to end:
//! a file of the store costs more than the rows of a small one. A larger file is read by all threads.
//! What a file is made into depends on its content and the rules alone. Knows nothing of limits on
//! rejects and of the manifest.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::value::to_raw_value;

use super::extract::Extract;
use super::file_result::{Extent, FileResult};
use super::ingest::{Job, ingest};
use super::memory::Share;
use super::outcome::hold_contract;
use super::parse::measure_of;
use super::small::{SmallFile, SmallSpace, ingest_small};
use crate::contract::{Bounds, Contract, raw_canonical};
use crate::exit_code::ExitCode;
use crate::progress::Unit;
use crate::record::{Decimal, Rules};
use crate::rows::{Chunk, Pool, in_order};
use crate::source::RawFile;
use crate::store::{
    Digest, FileStamp, MODE_PRIVATE, MODE_READ_ONLY, ParsedFile, ParsedIndex, ParsedKey, Staged,
    StagedObject,
};
use crate::task::{TaskContext, TaskError};

/// So many results are kept at once: each time costs the disk some waiting.
const BATCH_FILES: usize = 1024;
const BATCH_BYTES: u64 = 64 << 20;

/// What came of the files.
pub(super) struct ReadFiles {
    /// In the order of the files.
    pub results: Vec<FileResult>,
    pub chunks: u64,
    /// How many were not found in the store.
    pub parsed: u64,
    /// What each file looked like before it was read.
    pub stamps: Vec<(PathBuf, FileStamp)>,
}

/// The results of all files.
pub(super) fn read_files(
    extract: &Extract<'_>,
    context: &TaskContext<'_>,
    files: &[RawFile],
) -> Result<ReadFiles, TaskError> {
    let reader = Reader::new(extract, context)?;
    let mut taker = Taker::new(&reader, files);
    let small =
        |file: &RawFile| -> Result<bool, TaskError> { Ok(look(file)?.bytes <= reader.small_bytes) };
    let mut next = 0;
    while let Some(file) = files.get(next) {
        let start = next;
        if !small(file)? {
            taker.large(start)?;
            next += 1;
            continue;
        }
        while files.get(next).map(small).transpose()? == Some(true) {
            next += 1;
        }
        taker.several(start..next)?;
    }
    taker.finish()
}

/// A file as `stat` shows it.
pub(super) fn look(file: &RawFile) -> Result<FileStamp, TaskError> {
    FileStamp::of(&file.path).map_err(|error| unreadable(file, &error))
}

/// The error of a raw file that cannot be read.
pub(super) fn unreadable(file: &RawFile, error: &std::io::Error) -> TaskError {
    TaskError::new(ExitCode::Input, format!("cannot read `{}`: {error}", file.path.display()))
}

/// Whether the files are still those that were read.
pub(super) fn still_the_same(stamps: &[(PathBuf, FileStamp)]) -> Result<(), TaskError> {
    for (path, stamp) in stamps {
        let now = FileStamp::of(path);
        if now.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            let text = format!("`{}` was removed while it was being read", path.display());
            return Err(TaskError::new(ExitCode::Input, text));
        }
        if !now.is_ok_and(|now| now.same_file(stamp)) {
            let text = format!("`{}` changed while it was being read", path.display());
            return Err(TaskError::new(ExitCode::Failure, text)
                .hint("run it again once the file is complete"));
        }
    }
    Ok(())
}

/// What is known of a file once a thread has looked at it.
enum Seen {
    /// There is a result of the same content.
    Found(FileResult),
    Read(SmallFile),
    /// It is not small after all.
    Large,
}

/// What all threads share.
struct Reader<'r> {
    extract: &'r Extract<'r>,
    context: &'r TaskContext<'r>,
    index: ParsedIndex<'r>,
    settings: Digest,
    rules: Rules,
    contract: Contract,
    share: Share,
    /// A file with no more than that is small.
    small_bytes: u64,
    spaces: Pool<SmallSpace>,
    spare: Pool<Chunk>,
}

impl<'r> Reader<'r> {
    fn new(extract: &'r Extract<'r>, context: &'r TaskContext<'r>) -> Result<Self, TaskError> {
        let max_amount = Decimal::parse(&extract.settings.max_payment_amount)
            .map_err(|error| TaskError::new(ExitCode::Usage, error.to_string()))?;
        let oldest_us = extract.oldest_us();
        let bounds = Bounds {
            oldest_us,
            as_of_us: extract.as_of.micros(),
            max_amount: super::preprocess::largest_amount(&max_amount),
        };
        let share = Share::of(extract.resources, context.concurrency);
        Ok(Reader {
            extract,
            context,
            index: context.store.parsed(extract.source.name())?,
            settings: extract.file_settings(),
            rules: Rules { oldest_us, max_amount },
            contract: raw_canonical(measure_of(extract.source), bounds),
            small_bytes: share.small_file_bytes(extract.sizes),
            share,
            spaces: Pool::default(),
            spare: Pool::default(),
        })
    }

    fn job<'j>(&'j self, progress: &'j (dyn Fn(u64, u64) + Sync)) -> Job<'j> {
        let (extract, context) = (self.extract, self.context);
        Job {
            source: extract.source,
            rules: &self.rules,
            contract: extract.settings.validate_schema.then_some(&self.contract),
            sizes: extract.sizes,
            share: self.share,
            chunk_rows: extract.resources.chunk_rows.max(1),
            timings: context.timings,
            cancel: context.cancel,
            progress,
        }
    }

    fn key(&self, sha256: Digest, bytes: u64) -> ParsedKey {
        ParsedKey { sha256, bytes, settings: self.settings }
    }

    /// A kept result of the same content that holds for today's bound. The file is hashed for
    /// it only if a file of its length was ever seen, and not looked for if the user wants it read.
    fn find(&self, file: &RawFile, stamp: &FileStamp) -> Result<Option<FileResult>, TaskError> {
        if self.context.force || !self.index.has_size(stamp.bytes) {
            return Ok(None);
        }
        let memo = self.context.store.memo();
        let sha256 =
            memo.digest_of(&file.path, *stamp).map_err(|error| unreadable(file, &error))?.0;
        for (facts, objects) in self.index.find(&self.key(sha256, stamp.bytes))? {
            let Some(mut result) = FileResult::kept(facts, objects) else { continue };
            if result.facts.bounds.hold_for(self.rules.oldest_us) {
                result.name.clone_from(&file.name);
                return Ok(Some(result));
            }
        }
        Ok(None)
    }

    /// Looks at a file that should be small.
    fn see(&self, file: &RawFile) -> Result<(FileStamp, Seen), TaskError> {
        self.context.check_cancelled()?;
        let stamp = look(file)?;
        if let Some(result) = self.find(file, &stamp)? {
            return Ok((stamp, Seen::Found(result)));
        }
        if stamp.bytes > self.small_bytes {
            return Ok((stamp, Seen::Large));
        }
        let job = self.job(&|_, _| {});
        let read = self.spaces.with(SmallSpace::default, |space| {
            ingest_small(&job, file, self.small_bytes, &self.spare, space)
        })?;
        let Some(read) = read else { return Ok((stamp, Seen::Large)) };
        self.hold(file, &stamp, &read.broken)?;
        Ok((stamp, Seen::Read(read)))
    }

    /// What was read must be one state of the file, and keep the contract.
    fn hold(
        &self,
        file: &RawFile,
        stamp: &FileStamp,
        broken: &[crate::contract::Failure],
    ) -> Result<(), TaskError> {
        hold_contract(self.contract.name, broken)?;
        still_the_same(&[(file.path.clone(), *stamp)])
    }
}

/// Puts results in the order of the files, and into the store, where the next run finds them even
/// if this one comes to nothing.
struct Taker<'t> {
    reader: &'t Reader<'t>,
    files: &'t [RawFile],
    results: Vec<Option<FileResult>>,
    stamps: Vec<Option<FileStamp>>,
    /// The first file of each content that was read.
    first: HashMap<ParsedKey, usize>,
    /// Lengths of the files that were read.
    sizes: BTreeSet<u64>,
    /// Files of the same content as another.
    same: Vec<(usize, usize)>,
    batch: Batch,
    chunks: u64,
    parsed: u64,
}

impl<'t> Taker<'t> {
    fn new(reader: &'t Reader<'t>, files: &'t [RawFile]) -> Taker<'t> {
        Taker {
            reader,
            files,
            results: vec![None; files.len()],
            stamps: vec![None; files.len()],
            first: HashMap::new(),
            sizes: BTreeSet::new(),
            same: Vec::new(),
            batch: Batch::default(),
            chunks: 0,
            parsed: 0,
        }
    }

    fn step(&self, index: usize) {
        let total = self.files.len() as u32;
        self.reader.context.progress.step(&self.files[index].name, index as u32 + 1, total);
    }

    /// Small files, each by one thread.
    fn several(&mut self, indices: Range<usize>) -> Result<(), TaskError> {
        let (reader, files) = (self.reader, self.files);
        let parts: Vec<usize> = indices.collect();
        let mut large = Vec::new();
        in_order(
            &parts,
            reader.share.threads,
            |&index, emitter| {
                let (stamp, seen) = reader.see(&files[index])?;
                // If nobody takes it, somebody else failed and has said why.
                emitter.emit((index, stamp, seen)).map_err(|_| TaskError::cancelled())
            },
            |(index, stamp, seen)| {
                self.step(index);
                self.stamps[index] = Some(stamp);
                match seen {
                    Seen::Found(result) => self.results[index] = Some(result),
                    Seen::Read(read) => self.take(index, &stamp, read)?,
                    Seen::Large => large.push(index),
                }
                Ok(())
            },
        )?;
        // Not beside the others: it takes all the memory that there is.
        large.into_iter().try_for_each(|index| self.large(index))
    }

    /// Counts a file that was read; `false` if one of the same content was.
    fn is_first(&mut self, index: usize, stamp: &FileStamp, sha256: Digest, chunks: u64) -> bool {
        let (reader, file) = (self.reader, &self.files[index]);
        reader.context.store.memo().remember(&file.path, stamp, sha256);
        if !reader.context.force {
            let key = reader.key(sha256, stamp.bytes);
            let first = *self.first.entry(key).or_insert(index);
            if first != index {
                self.same.push((index, first));
                return false;
            }
        }
        self.sizes.insert(stamp.bytes);
        self.chunks += chunks;
        self.parsed += 1;
        true
    }

    fn take(&mut self, index: usize, stamp: &FileStamp, read: SmallFile) -> Result<(), TaskError> {
        let SmallFile { rows, rejects, sha256, bytes, facts, chunks, .. } = read;
        if !self.is_first(index, stamp, sha256, chunks) {
            return Ok(());
        }
        let context = self.reader.context;
        context.progress.advance(facts.rows_read, Some(facts.rows_read), Unit::Rows);
        let digest = Digest::of_bytes(&rows);
        let rows_at = self.batch.rows.add(context, MODE_READ_ONLY, &rows)?;
        let rejects_at = match rejects.is_empty() {
            true => None,
            false => Some(self.batch.rejects.add(context, MODE_PRIVATE, &rejects)?),
        };
        let name = self.files[index].name.clone();
        let result = FileResult { name, sha256, bytes, rows: digest, rows_at, rejects_at, facts };
        self.results[index] = Some(result);
        self.batch.files.push(index);
        let bytes = self.batch.rows.bytes + self.batch.rejects.bytes;
        if self.batch.files.len() >= BATCH_FILES || bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// A file that is read by all threads.
    fn large(&mut self, index: usize) -> Result<(), TaskError> {
        let (reader, file) = (self.reader, &self.files[index]);
        let context = reader.context;
        context.check_cancelled()?;
        self.step(index);
        let stamp = look(file)?;
        self.stamps[index] = Some(stamp);
        if let Some(result) = reader.find(file, &stamp)? {
            self.results[index] = Some(result);
            return Ok(());
        }
        if self.sizes.contains(&stamp.bytes) && !context.force {
            let memo = context.store.memo();
            let sha256 =
                memo.digest_of(&file.path, stamp).map_err(|error| unreadable(file, &error))?.0;
            if let Some(&first) = self.first.get(&reader.key(sha256, stamp.bytes)) {
                self.same.push((index, first));
                return Ok(());
            }
        }
        let progress = |bytes: u64, rows: u64| {
            let plain = !file.name.ends_with(".gz") && !file.name.ends_with(".zst");
            // Rows to come, judged by the bytes that are left.
            let total = (plain && bytes > 0)
                .then(|| (u128::from(rows) * u128::from(stamp.bytes) / u128::from(bytes)) as u64);
            context.progress.advance(rows, total, Unit::Rows);
        };
        let rows = context.stage(MODE_READ_ONLY)?;
        let rejects = context.stage(MODE_PRIVATE)?;
        let ingested = ingest(&reader.job(&progress), file, rows, rejects)?;
        reader.hold(file, &stamp, &ingested.broken)?;
        if !self.is_first(index, &stamp, ingested.sha256, ingested.chunks) {
            return Ok(());
        }
        let rows = ingested.rows.finish()?;
        let rejects = ingested.rejects.finish()?;
        let whole = |object: &StagedObject| Extent {
            object: object.digest(),
            offset: 0,
            bytes: object.bytes(),
        };
        let result = FileResult {
            name: file.name.clone(),
            sha256: ingested.sha256,
            bytes: ingested.bytes,
            rows: rows.digest(),
            rows_at: whole(&rows),
            rejects_at: (rejects.bytes() > 0).then(|| whole(&rejects)),
            facts: ingested.facts,
        };
        let rejects = result.rejects_at.is_some().then_some(rejects);
        self.results[index] = Some(result);
        self.keep(&[index], rows, rejects)
    }

    /// Keeps what is packed so far.
    fn flush(&mut self) -> Result<(), TaskError> {
        let Batch { rows, rejects, files } = std::mem::take(&mut self.batch);
        let Some(rows) = rows.finish()? else { return Ok(()) };
        let rejects = rejects.finish()?;
        for &index in &files {
            let Some(result) = &mut self.results[index] else { continue };
            result.rows_at.object = rows.digest();
            if let (Some(part), Some(rejects)) = (&mut result.rejects_at, &rejects) {
                part.object = rejects.digest();
            }
        }
        self.keep(&files, rows, rejects)
    }

    /// Puts results that were made together into the store.
    fn keep(
        &self,
        files: &[usize],
        rows: StagedObject,
        rejects: Option<StagedObject>,
    ) -> Result<(), TaskError> {
        let reader = self.reader;
        let results = files.iter().filter_map(|&index| self.results[index].as_ref());
        let parsed = results.map(|result| {
            let key = reader.key(result.sha256, result.bytes);
            Ok(ParsedFile { key, facts: to_raw_value(result).map_err(std::io::Error::from)? })
        });
        let parsed = parsed.collect::<Result<Vec<_>, std::io::Error>>()?;
        let objects = std::iter::once(rows).chain(rejects).collect();
        let TaskContext { store, owner, .. } = reader.context;
        Ok(store.keep_parsed(reader.extract.source.name(), objects, parsed, owner)?)
    }

    fn finish(mut self) -> Result<ReadFiles, TaskError> {
        self.flush()?;
        for (index, first) in std::mem::take(&mut self.same) {
            let mut result = self.results[first].clone();
            if let Some(result) = &mut result {
                result.name.clone_from(&self.files[index].name);
            }
            self.results[index] = result;
        }
        let Taker { files, results, stamps, chunks, parsed, .. } = self;
        let stamps = files.iter().zip(stamps);
        let stamps = stamps.filter_map(|(file, stamp)| Some((file.path.clone(), stamp?)));
        let results = results.into_iter().flatten().collect();
        Ok(ReadFiles { results, chunks, parsed, stamps: stamps.collect() })
    }
}

/// Results that are made and not kept yet.
#[derive(Default)]
struct Batch {
    rows: Pack,
    rejects: Pack,
    files: Vec<usize>,
}

/// An object that several files share, while it is written.
#[derive(Default)]
struct Pack {
    staged: Option<Staged>,
    bytes: u64,
}

impl Pack {
    /// Adds the part of another file. What object it is a part of shows when that is finished.
    fn add(
        &mut self,
        context: &TaskContext<'_>,
        mode: u32,
        part: &[u8],
    ) -> Result<Extent, TaskError> {
        let staged = match &mut self.staged {
            Some(staged) => staged,
            none => none.insert(context.stage(mode)?),
        };
        staged.write_all(part)?;
        let (offset, bytes) = (self.bytes, part.len() as u64);
        self.bytes += bytes;
        Ok(Extent { object: Digest::of_bytes(b""), offset, bytes })
    }

    fn finish(self) -> Result<Option<StagedObject>, TaskError> {
        Ok(self.staged.map(Staged::finish).transpose()?)
    }
}
