//! extract: raw files of one source to sorted rows and rejects.
//!
//! The result of each input file is kept by content, so a file seen before is not read again,
//! in whatever run. as_of matters only through the oldest timestamp allowed, and only where a row
//! is older than it. Knows files and their facts; rows are `ingest`'s.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ingest::{Ingested, Job, ingest};
use super::memory::Share;
use super::outcome::{hold_contract, output};
use super::parse::measure_of;
use super::profile::{Bounds as RowBounds, FileFacts};
use super::rejects::gather;
use super::stoppable::Stoppable;
use super::sweep::DAY_US;
use crate::as_of::AsOf;
use crate::contract::{Bounds, raw_canonical};
use crate::exit_code::ExitCode;
use crate::progress::Unit;
use crate::record::{Decimal, Rules, Source};
use crate::rows::Sizes;
use crate::settings::{ExtractSettings, Resources};
use crate::source::{RawFile, discover};
use crate::store::{
    Content, Digest, FileStamp, Ingredients, InputFact, MODE_PRIVATE, MODE_READ_ONLY, Manifest,
    NewOutput, NewParsed, ParsedKey, Place, Store,
};
use crate::task::{Product, TaskContext, TaskError};

/// Raised when the same input should give another result.
const VERSION: u32 = 3;
/// So many small files are kept at once: each costs the disk some waiting.
const PENDING_FILES: usize = 256;
/// A large file is kept as soon as it is done.
const PENDING_BYTES: u64 = 16 << 20;

/// The extract of one source.
pub(super) struct Extract<'e> {
    pub source: Source,
    pub settings: &'e ExtractSettings,
    pub raw: &'e Path,
    pub as_of: &'e AsOf,
    pub resources: &'e Resources,
    pub sizes: &'e Sizes,
}

/// One input file in the manifest of an extract, for preprocess and for the next run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileResult {
    /// Path below the raw folder.
    pub name: String,
    pub sha256: Digest,
    pub bytes: u64,
    /// The rows file.
    pub rows: Digest,
    pub rows_bytes: u64,
    rejects: Digest,
    rejects_bytes: u64,
    pub facts: FileFacts,
}

/// What a look at the raw files asks of a [`FileResult`].
#[derive(Deserialize)]
struct KnownFile<'m> {
    #[serde(borrow)]
    name: Cow<'m, str>,
    sha256: Digest,
    bytes: u64,
    facts: KnownFacts,
}

#[derive(Deserialize)]
struct KnownFacts {
    bounds: RowBounds,
}

/// The files in an extract's manifest.
pub(super) fn files_of(manifest: &Manifest) -> Result<Vec<FileResult>, TaskError> {
    listed(manifest)
}

fn listed<'m, T: Deserialize<'m>>(manifest: &'m Manifest) -> Result<Vec<T>, TaskError> {
    manifest.extra.get("files").map_err(|error| {
        let text =
            format!("the manifest of `{}` does not list its files: {error}", manifest.task());
        TaskError::new(ExitCode::Failure, text).hint("run it again with `--force`")
    })
}

/// The rows of each file in an extract's manifest, as inputs of preprocess.
pub(super) fn rows_of(manifest: &Manifest) -> Result<BTreeMap<String, InputFact>, TaskError> {
    #[derive(Deserialize)]
    struct Rows {
        name: String,
        rows: Digest,
        rows_bytes: u64,
    }
    let files: Vec<Rows> = listed(manifest)?;
    let fact = |file: &Rows| InputFact { sha256: file.rows, bytes: file.rows_bytes };
    Ok(files
        .into_iter()
        .map(|file| (fact(&file), file.name))
        .map(|(fact, name)| (name, fact))
        .collect())
}

impl Extract<'_> {
    fn oldest_us(&self) -> i64 {
        let days = i64::from(self.settings.min_timestamp_days_ago);
        self.as_of.micros().saturating_sub(days.saturating_mul(DAY_US))
    }

    fn discover(&self) -> Result<Vec<RawFile>, TaskError> {
        Ok(discover(self.raw, &self.settings.files, self.settings.allow_outside)?)
    }

    /// What the next result would be made of; see [`crate::task::Runner::ingredients`].
    pub fn ingredients(
        &self,
        previous: Option<&Manifest>,
        store: &Store,
    ) -> Result<Ingredients, TaskError> {
        let known: Vec<KnownFile<'_>> =
            previous.and_then(|previous| listed(previous).ok()).unwrap_or_default();
        let known: HashMap<&str, &KnownFile<'_>> =
            known.iter().map(|file| (&*file.name, file)).collect();
        let mut ingredients = self.settings_only();
        let mut known_sizes = None;
        let (mut unchanged, mut unread, mut reaches_bound) = (previous.is_some(), false, false);
        for file in self.discover()? {
            let stamp = FileStamp::of(&file.path).map_err(|error| unreadable(&file, &error))?;
            let bytes = stamp.bytes;
            let was = known.get(&*file.name).filter(|was| was.bytes == bytes);
            if was.is_none() && known_sizes.is_none() {
                known_sizes = Some(store.parsed().sizes(self.source.name())?);
            }
            let may_be_known =
                was.is_some() || known_sizes.as_ref().is_some_and(|sizes| sizes.contains(&bytes));
            // No need to hash a file of a length that was never seen before it is read.
            let mut fact = InputFact::unread(bytes);
            if may_be_known {
                let hashed = store.memo().digest_of(&file.path, stamp);
                let sha256 = hashed.map_err(|error| unreadable(&file, &error))?.0;
                let same = was.filter(|was| was.sha256 == sha256);
                let results = match same {
                    Some(same) if self.holds(&same.facts.bounds) => vec![same.facts.bounds],
                    _ => self.kept_bounds(store, InputFact { sha256, bytes })?,
                };
                if same.is_some() || !results.is_empty() {
                    fact.sha256 = sha256;
                }
                unchanged &= same.is_some_and(|same| self.holds(&same.facts.bounds));
                // Where a result holds no longer, a row is older than the bound now, or was.
                let holding = results.iter().find(|bounds| self.holds(bounds));
                reaches_bound |= !fact.is_unread()
                    && holding.is_none_or(|bounds| bounds.newest_below_us.is_some());
            }
            unread |= fact.is_unread();
            ingredients.inputs.insert(file.name, fact);
        }
        unchanged &= ingredients.inputs.len() == known.len() && !unread;
        let before = previous.and_then(|previous| previous.ingredients.as_of.clone());
        // A failure names the day that was given, be the rejected rows the same for another one.
        let failed = previous.is_some_and(|previous| previous.error.is_some());
        ingredients.as_of = match () {
            () if unchanged && !failed => before,
            () if reaches_bound => Some(self.as_of.to_string()),
            // Whether it will matter is not known yet, and no reason.
            () if unread => before,
            () => None,
        };
        Ok(ingredients)
    }

    /// Does a result with these bounds hold for the bound of today?
    fn holds(&self, bounds: &RowBounds) -> bool {
        bounds.hold_for(self.oldest_us())
    }

    /// The results of files of this content that are still kept.
    fn kept_files(&self, store: &Store, fact: InputFact) -> Result<Vec<FileResult>, TaskError> {
        let kept = store.parsed().find(&self.file_key(fact))?;
        // A record of another shape is as good as none.
        Ok(kept.into_iter().filter_map(|one| serde_json::from_value(one.facts).ok()).collect())
    }

    /// The bounds of those results.
    fn kept_bounds(&self, store: &Store, fact: InputFact) -> Result<Vec<RowBounds>, TaskError> {
        let files = self.kept_files(store, fact)?;
        Ok(files.into_iter().map(|file| file.facts.bounds).collect())
    }

    fn file_key(&self, InputFact { sha256, bytes }: InputFact) -> ParsedKey<'static> {
        ParsedKey { source: self.source.name(), sha256, bytes, settings: self.file_settings() }
    }

    fn settings_only(&self) -> Ingredients {
        Ingredients {
            stage_version: VERSION,
            settings: self.settings.entries(),
            ..Ingredients::default()
        }
    }

    /// What of the settings decides the result of a single file.
    fn file_settings(&self) -> Digest {
        let max_amount = match self.source {
            Source::Payments => Some(&self.settings.max_payment_amount),
            Source::Prints | Source::Taps => None,
        };
        let sizes = format!("{:?}", self.sizes);
        let key = json!({"version": VERSION, "max_payment_amount": max_amount, "sizes": sizes});
        Digest::of_bytes(key.to_string().as_bytes())
    }

    /// Computes the task.
    pub fn run(&self, context: &TaskContext<'_>) -> Result<Product, TaskError> {
        let files = self.discover()?;
        let total = files.len() as u32;
        let mut run = Run {
            extract: self,
            context,
            chunks: 0,
            parsed: 0,
            stamps: Vec::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            known_sizes: context.store.parsed().sizes(self.source.name())?,
        };
        let mut results = Vec::new();
        for (index, file) in files.iter().enumerate() {
            context.check_cancelled()?;
            context.progress.step(&file.name, index as u32 + 1, total);
            results.push(run.file(file)?);
        }
        run.flush()?;
        let Run { chunks, parsed, stamps, .. } = run;
        self.product(context, results, chunks, parsed, stamps)
    }

    fn product(
        &self,
        context: &TaskContext<'_>,
        results: Vec<FileResult>,
        chunks: u64,
        parsed: u64,
        stamps: Vec<(PathBuf, FileStamp)>,
    ) -> Result<Product, TaskError> {
        let mut facts = FileFacts::default();
        results.iter().for_each(|file| facts.add_file(&file.facts));
        let mut ingredients = self.settings_only();
        for file in &results {
            let fact = InputFact { sha256: file.sha256, bytes: file.bytes };
            ingredients.inputs.insert(file.name.clone(), fact);
        }
        let reaches_bound = facts.bounds.newest_below_us.is_some();
        ingredients.as_of = reaches_bound.then(|| self.as_of.to_string());
        let counts = self.counts(&facts, &results, parsed);

        let mut staged = context.stage(MODE_PRIVATE)?;
        let layout = context.store.layout();
        let files = results.iter().map(|file| (&*file.name, layout.object(&file.rejects)));
        let gathered = gather(files, Stoppable { inner: &mut staged, cancel: context.cancel });
        context.check_cancelled()?;
        gathered?;
        let rejects = staged.finish()?;
        let rejected = Some(facts.rows_rejected);
        let name = Place::failed_rejects(self.source.name());
        if let Some(mut error) = self.too_many_rejects(&facts, &layout.path(&name)) {
            error.leaves.outputs.push(output(rejects, Some(name), rejected, None));
            error.leaves.ingredients = Some(ingredients);
            error.leaves.counts = counts;
            error.leaves.extra = json!({ "files": results });
            return Err(error);
        }
        let name = Place::rejects(self.source.name());
        let mut outputs = vec![output(rejects, Some(name), rejected, None)];
        for file in &results {
            let rows = Some(file.facts.rows_valid);
            outputs.push(kept(file.rows, file.rows_bytes, MODE_READ_ONLY, rows));
            let rows = Some(file.facts.rows_rejected);
            outputs.push(kept(file.rejects, file.rejects_bytes, MODE_PRIVATE, rows));
        }
        // Files of the same content share their objects.
        let mut seen = BTreeSet::new();
        outputs.retain(|output| match &output.content {
            Content::Kept { digest, .. } => seen.insert(*digest),
            Content::New(_) => true,
        });
        Ok(Product {
            ingredients,
            outputs,
            counts,
            extra: json!({ "files": results }),
            chunks: Some(chunks),
            verify: Some(Box::new(move || still_the_same(&stamps))),
            ..Product::default()
        })
    }

    fn counts(&self, facts: &FileFacts, files: &[FileResult], parsed: u64) -> Map<String, Value> {
        let mut counts = Map::new();
        counts.insert("rows_read".into(), facts.rows_read.into());
        counts.insert("rows_valid".into(), facts.rows_valid.into());
        counts.insert("rows_rejected".into(), facts.rows_rejected.into());
        counts.insert("blank_lines".into(), facts.blank_lines.into());
        counts.insert("rejects_by_code".into(), json!(facts.rejects_by_code));
        counts.insert("files".into(), files.len().into());
        counts.insert("files_parsed".into(), parsed.into());
        counts.insert("files_reused".into(), (files.len() as u64 - parsed).into());
        counts
    }

    fn too_many_rejects(&self, facts: &FileFacts, rejects: &Path) -> Option<TaskError> {
        let rate = facts.rows_rejected as f64 / facts.rows_read.max(1) as f64;
        if rate <= self.settings.max_reject_rate {
            return None;
        }
        let mut message = format!(
            "{} of {} rows of {} were rejected ({:.2} %, allowed are {:.2} %)",
            facts.rows_rejected,
            facts.rows_read,
            self.source,
            rate * 100.0,
            self.settings.max_reject_rate * 100.0
        );
        let mut codes: Vec<(&String, &u64)> = facts.rejects_by_code.iter().collect();
        codes.sort_by_key(|(code, count)| (std::cmp::Reverse(**count), (*code).clone()));
        let codes: Vec<String> =
            codes.iter().take(3).map(|(code, count)| format!("{code} {count}")).collect();
        message.push_str(&format!(": {}", codes.join(", ")));
        let mut hint =
            format!("see `{}`; `processing.max_reject_rate` sets the limit", rejects.display());
        if facts.rows_out_of_bounds * 2 > facts.rows_rejected {
            let bounds = &facts.bounds;
            if let (Some(oldest), Some(newest)) = (bounds.oldest_us, bounds.newest_below_us) {
                let newest = bounds.oldest_above_us.map_or(newest, |_| newest);
                let (oldest, newest) = (date(oldest), date(newest));
                message.push_str(&format!(
                    "; most are older than {} days before {}: their dates are {oldest} to {newest}",
                    self.settings.min_timestamp_days_ago,
                    self.as_of.as_given(),
                ));
                hint = format!(
                    "if these are the right files, run with `--as-of {newest}`, or with the \
                     latest such day of all sources; {hint}"
                );
            }
        }
        Some(TaskError::new(ExitCode::Contract, message).hint(hint))
    }
}

fn date(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(|| format!("{micros} µs"), |time| time.date_naive().to_string())
}

fn kept(digest: Digest, bytes: u64, mode: u32, rows: Option<u64>) -> NewOutput {
    NewOutput { content: Content::Kept { digest, bytes }, publish: None, mode, rows, schema: None }
}

fn unreadable(file: &RawFile, error: &std::io::Error) -> TaskError {
    TaskError::new(ExitCode::Input, format!("cannot read `{}`: {error}", file.path.display()))
}

/// Whether the files are still those that were read.
fn still_the_same(stamps: &[(PathBuf, FileStamp)]) -> Result<(), TaskError> {
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

/// An extract at work.
struct Run<'r> {
    extract: &'r Extract<'r>,
    context: &'r TaskContext<'r>,
    chunks: u64,
    parsed: u64,
    stamps: Vec<(PathBuf, FileStamp)>,
    /// Results that are made and not kept yet.
    pending: Vec<NewParsed<'static>>,
    pending_bytes: u64,
    /// Lengths of the files that were ever seen.
    known_sizes: BTreeSet<u64>,
}

impl Run<'_> {
    /// The result of one file: found, or made.
    fn file(&mut self, file: &RawFile) -> Result<FileResult, TaskError> {
        let stamp = FileStamp::of(&file.path).map_err(|error| unreadable(file, &error))?;
        let result = match self.seen_before(file, &stamp)? {
            Some(result) => result,
            None => self.read(file, &stamp)?,
        };
        self.stamps.push((file.path.clone(), stamp));
        Ok(result)
    }

    /// A kept result of the same content that holds for today's bound. The file is hashed for
    /// it only if a file of its length was ever seen, and not looked for if the user wants it read.
    fn seen_before(
        &self,
        file: &RawFile,
        stamp: &FileStamp,
    ) -> Result<Option<FileResult>, TaskError> {
        let store = self.context.store;
        if self.context.force || !self.known_sizes.contains(&stamp.bytes) {
            return Ok(None);
        }
        let sha256 = store.memo().digest(&file.path).map_err(|error| unreadable(file, &error))?.0;
        let fact = InputFact { sha256, bytes: stamp.bytes };
        let key = self.extract.file_key(fact);
        let pending = self.pending.iter().filter(|pending| pending.key == key);
        let pending = pending.filter_map(|one| serde_json::from_value(one.facts.clone()).ok());
        let mut results: Vec<FileResult> = pending.collect();
        results.extend(self.extract.kept_files(store, fact)?);
        let found = results.into_iter().find(|result| self.extract.holds(&result.facts.bounds));
        Ok(found.map(|result| FileResult { name: file.name.clone(), ..result }))
    }

    fn read(&mut self, file: &RawFile, stamp: &FileStamp) -> Result<FileResult, TaskError> {
        let (extract, context) = (self.extract, self.context);
        let max_amount = Decimal::parse(&extract.settings.max_payment_amount)
            .map_err(|error| TaskError::new(ExitCode::Usage, error.to_string()))?;
        let oldest_us = extract.oldest_us();
        let bounds = Bounds {
            oldest_us,
            as_of_us: extract.as_of.micros(),
            max_amount: super::preprocess::largest_amount(&max_amount),
        };
        let contract = raw_canonical(measure_of(extract.source), bounds);
        let progress = |bytes: u64, rows: u64| {
            let plain = !file.name.ends_with(".gz") && !file.name.ends_with(".zst");
            // Rows to come, judged by the bytes that are left.
            let total = (plain && bytes > 0)
                .then(|| (u128::from(rows) * u128::from(stamp.bytes) / u128::from(bytes)) as u64);
            context.progress.advance(rows, total, Unit::Rows);
        };
        let job = Job {
            source: extract.source,
            rules: &Rules { oldest_us, max_amount },
            contract: extract.settings.validate_schema.then_some(&contract),
            sizes: extract.sizes,
            share: Share::of(extract.resources, context.concurrency),
            chunk_rows: extract.resources.chunk_rows.max(1),
            timings: context.timings,
            cancel: context.cancel,
            progress: &progress,
        };
        let rows = context.stage(MODE_READ_ONLY)?;
        let rejects = context.stage(MODE_PRIVATE)?;
        let ingested = ingest(&job, file, rows, rejects)?;
        hold_contract(contract.name, &ingested.broken)?;
        self.keep(file, stamp, ingested)
    }

    /// Keeps what is made so far.
    fn flush(&mut self) -> Result<(), TaskError> {
        self.pending_bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        Ok(self.context.store.parsed().insert_all(pending, self.context.owner)?)
    }

    /// Puts the result of a file into the store, where the next run finds it even if this one
    /// comes to nothing.
    fn keep(
        &mut self,
        file: &RawFile,
        stamp: &FileStamp,
        ingested: Ingested,
    ) -> Result<FileResult, TaskError> {
        let (extract, store) = (self.extract, self.context.store);
        still_the_same(&[(file.path.clone(), *stamp)])?;
        self.chunks += ingested.chunks;
        self.parsed += 1;
        let rows = ingested.rows.finish_for_later()?;
        let rejects = ingested.rejects.finish_for_later()?;
        let result = FileResult {
            name: file.name.clone(),
            sha256: ingested.sha256,
            bytes: ingested.bytes,
            rows: rows.digest(),
            rows_bytes: rows.bytes(),
            rejects: rejects.digest(),
            rejects_bytes: rejects.bytes(),
            facts: ingested.facts,
        };
        self.known_sizes.insert(result.bytes);
        self.pending_bytes += rows.bytes() + rejects.bytes();
        self.pending.push(NewParsed {
            key: extract.file_key(InputFact { sha256: result.sha256, bytes: result.bytes }),
            objects: vec![rows, rejects],
            facts: json!(result),
        });
        if self.pending.len() >= PENDING_FILES || self.pending_bytes >= PENDING_BYTES {
            self.flush()?;
        }
        store.memo().remember(&file.path, stamp, result.sha256);
        Ok(result)
    }
}
