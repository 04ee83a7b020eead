//! A row group as compressed Parquet pages.
//!
//! polars' own encoder takes arrays and has to find out what repeats, by hashing every value;
//! here the columns know it. The pages made are polars' too, and its writer puts them into the
//! file. Each column has at most one dictionary page and one data page. The bytes are a function
//! of the group alone, so it does not matter which thread makes them.

use std::sync::{Mutex, PoisonError};

use polars::prelude::*;
use polars_parquet::parquet::CowBuffer;
use polars_parquet::parquet::compression::Compression;
use polars_parquet::parquet::page::{
    CompressedDataPage, CompressedDictPage, CompressedPage, DataPageHeader, DataPageHeaderV1,
};
use polars_parquet::parquet::statistics::ParquetStatistics;
use polars_parquet::write::{Descriptor, Encoding, SchemaDescriptor, to_parquet_schema};

use super::amount_of_cents;
use super::dictionary::Dictionary;
use super::encoding::{
    push_bits, push_deltas, push_levels, push_packed, push_runs, size_of_packed, size_of_runs,
    width_of,
};
use super::group::{Cells, Group, unshifted};
use super::texts::Texts;

/// The level of compression.
const LEVEL: i32 = 1;
/// Of bytes that are packed already so many are tried; unless they become shorter by an eighth,
/// the page is stored as it is.
const TRIED: usize = 8 << 10;

/// A row group ready to be written.
#[derive(Debug)]
pub struct EncodedGroup {
    pub(super) rows: usize,
    pub(super) columns: Vec<Vec<CompressedPage>>,
}

/// Encodes the row groups of one table, on any number of threads.
pub struct GroupEncoder {
    /// Makers of pages that nobody uses just now.
    spare: Mutex<Vec<Pages>>,
    pub(super) schema: Schema,
    pub(super) arrow: ArrowSchema,
    pub(super) parquet: SchemaDescriptor,
}

impl GroupEncoder {
    /// For tables with the columns of `empty`.
    pub fn new(empty: &Group) -> PolarsResult<GroupEncoder> {
        let schema = empty.frame(0, 0)?.schema().as_ref().clone();
        let fields = schema.iter_fields();
        let arrow: ArrowSchema = fields
            .map(|field| (field.name.clone(), field.to_arrow(CompatLevel::newest())))
            .collect();
        let parquet = to_parquet_schema(&arrow)?;
        Ok(GroupEncoder { spare: Mutex::default(), schema, arrow, parquet })
    }

    /// Encodes and compresses a row group.
    pub fn encode(&self, group: &Group) -> PolarsResult<EncodedGroup> {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = spare().pop();
        let mut pages = match taken {
            Some(pages) => pages,
            None => Pages::new()?,
        };
        pages.rows = group.rows;
        let columns = group.columns.iter().zip(self.parquet.columns());
        let columns = columns
            .map(|((_, cells), column)| pages.column(cells, &column.descriptor))
            .collect::<PolarsResult<_>>()?;
        spare().push(pages);
        Ok(EncodedGroup { rows: group.rows, columns })
    }
}

/// Statistics of a column: the least and the largest value in plain encoding, if there is any.
type Ends = Option<(Vec<u8>, Vec<u8>)>;

/// The codes of a dictionary column.
enum Codes<'c> {
    Each(&'c [u32]),
    Runs { rows: usize, runs: &'c [(u32, u32)] },
}

/// Makes pages.
struct Pages {
    /// Of the row group at hand.
    rows: usize,
    /// The page being made.
    page: Vec<u8>,
    compressed: Vec<u8>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl Pages {
    fn new() -> PolarsResult<Pages> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Pages { rows: 0, page: Vec::new(), compressed: Vec::new(), compressor })
    }

    fn column(
        &mut self,
        cells: &Cells,
        descriptor: &Descriptor,
    ) -> PolarsResult<Vec<CompressedPage>> {
        match cells {
            Cells::Instants(values) | Cells::Integers(values) => {
                self.integers(values, None, descriptor)
            }
            Cells::SameInstant(value) => {
                let value = value.to_le_bytes().to_vec();
                let codes = Codes::Runs { rows: self.rows, runs: &[(0, self.rows as u32)] };
                let ends = Some((value.clone(), value.clone()));
                self.coded(&value, 1, &codes, None, ends, descriptor)
            }
            Cells::Numbering(values) => self.sequence(values, None, descriptor),
            Cells::Shifted(values) => {
                if values.contains(&0) {
                    let valid: Vec<bool> = values.iter().map(|&value| value > 0).collect();
                    let given: Vec<i64> =
                        values.iter().filter_map(|&value| unshifted(value)).collect();
                    self.integers(&given, Some(&valid), descriptor)
                } else {
                    let given: Vec<i64> = values.iter().map(|&value| (value - 1) as i64).collect();
                    self.integers(&given, None, descriptor)
                }
            }
            Cells::Numbers(values) => self.numbers(values, descriptor),
            Cells::Cents(values) => self.cents(values, descriptor),
            Cells::Listed(list, places) => {
                let ends = places.iter().min().zip(places.iter().max());
                let span = ends.map(|(&min, &max)| (i64::from(min), i64::from(max)));
                let places = places.iter().map(|&place| u64::from(place));
                let dictionary = Dictionary::of(places, span).unwrap_or_default();
                let distinct: Vec<f64> =
                    dictionary.distinct.iter().map(|&place| list[place as usize]).collect();
                let codes = Codes::Each(&dictionary.codes);
                self.coded_numbers(&distinct, &codes, descriptor)
            }
            Cells::Flags(flags) => {
                let ends = flags.iter().min().zip(flags.iter().max());
                let ends = ends.map(|(&min, &max)| (vec![u8::from(min)], vec![u8::from(max)]));
                self.begin(None);
                push_bits(&mut self.page, flags);
                Ok(vec![self.data(Encoding::Plain, Compression::Zstd, 0, ends, descriptor)?])
            }
            Cells::TextRuns(column) => {
                let runs: Vec<(u32, u32)> = column.runs().collect();
                let codes = Codes::Runs { rows: self.rows, runs: &runs };
                self.texts(&column.texts, &codes, descriptor)
            }
            Cells::Texts(column) => {
                self.texts(&column.texts, &Codes::Each(&column.codes), descriptor)
            }
        }
    }

    /// Integers of which some are null where `valid` is given.
    fn integers(
        &mut self,
        values: &[i64],
        valid: Option<&[bool]>,
        descriptor: &Descriptor,
    ) -> PolarsResult<Vec<CompressedPage>> {
        let span = span_of(values);
        match Dictionary::of(values.iter().map(|&value| value as u64), span) {
            Some(Dictionary { distinct, codes }) if !distinct.is_empty() => {
                let plain: Vec<u8> =
                    distinct.iter().flat_map(|value| value.to_le_bytes()).collect();
                let ends = ends_of(span);
                self.coded(&plain, distinct.len(), &Codes::Each(&codes), valid, ends, descriptor)
            }
            _ => self.sequence(values, valid, descriptor),
        }
    }

    /// Integers that are not worth a dictionary.
    fn sequence(
        &mut self,
        values: &[i64],
        valid: Option<&[bool]>,
        descriptor: &Descriptor,
    ) -> PolarsResult<Vec<CompressedPage>> {
        self.begin(valid);
        push_deltas(&mut self.page, values);
        let codec = self.codec_of_packed()?;
        let nulls = self.rows - values.len();
        let (encoding, ends) = (Encoding::DeltaBinaryPacked, ends_of(span_of(values)));
        Ok(vec![self.data(encoding, codec, nulls, ends, descriptor)?])
    }

    fn numbers(
        &mut self,
        values: &[f64],
        descriptor: &Descriptor,
    ) -> PolarsResult<Vec<CompressedPage>> {
        match Dictionary::of(values.iter().map(|value| value.to_bits()), None) {
            Some(Dictionary { distinct, codes }) if !distinct.is_empty() => {
                let distinct: Vec<f64> = distinct.into_iter().map(f64::from_bits).collect();
                self.coded_numbers(&distinct, &Codes::Each(&codes), descriptor)
            }
            _ => {
                self.begin(None);
                self.page.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                let ends = ends_of_numbers(values);
                Ok(vec![self.data(Encoding::Plain, Compression::Zstd, 0, ends, descriptor)?])
            }
        }
    }

    /// Amounts in cents, which are numbered as such: many a table has few different ones.
    fn cents(
        &mut self,
        values: &[u64],
        descriptor: &Descriptor,
    ) -> PolarsResult<Vec<CompressedPage>> {
        let amount = |cents: &u64| amount_of_cents((*cents).into());
        let ends = values.iter().min().zip(values.iter().max());
        let span = ends.and_then(|(&min, &max)| Some((min.try_into().ok()?, max.try_into().ok()?)));
        match Dictionary::of(values.iter().copied(), span) {
            Some(Dictionary { distinct, codes }) if !distinct.is_empty() => {
                let distinct: Vec<f64> = distinct.iter().map(amount).collect();
                self.coded_numbers(&distinct, &Codes::Each(&codes), descriptor)
            }
            _ => self.numbers(&values.iter().map(amount).collect::<Vec<_>>(), descriptor),
        }
    }

    fn coded_numbers(
        &mut self,
        distinct: &[f64],
        codes: &Codes<'_>,
        descriptor: &Descriptor,
    ) -> PolarsResult<Vec<CompressedPage>> {
        let plain: Vec<u8> = distinct.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.coded(&plain, distinct.len(), codes, None, ends_of_numbers(distinct), descriptor)
    }

    fn texts(
        &mut self,
        texts: &Texts,
        codes: &Codes<'_>,
        descriptor: &Descriptor,
    ) -> PolarsResult<Vec<CompressedPage>> {
        let ends = texts.iter().min().zip(texts.iter().max());
        let ends = ends.map(|(min, max)| (min.to_vec(), max.to_vec()));
        self.coded(texts.plain(), texts.len(), codes, None, ends, descriptor)
    }

    /// A dictionary page and the page of its codes; `plain` is the dictionary.
    fn coded(
        &mut self,
        plain: &[u8],
        distinct: usize,
        codes: &Codes<'_>,
        valid: Option<&[bool]>,
        ends: Ends,
        descriptor: &Descriptor,
    ) -> PolarsResult<Vec<CompressedPage>> {
        let width = width_of(distinct.saturating_sub(1) as u64);
        self.begin(valid);
        self.page.push(width as u8);
        let mut is_packed = false;
        let given = match codes {
            Codes::Each(codes) => {
                let runs = 1 + codes.windows(2).filter(|pair| pair[0] != pair[1]).count();
                if size_of_runs(width, runs) < size_of_packed(width, codes.len()) {
                    let same = codes.chunk_by(|one, other| one == other);
                    let runs = same.map(|run| (run[0], run.len() as u32));
                    push_runs(&mut self.page, width, runs);
                } else {
                    push_packed(&mut self.page, width, codes);
                    is_packed = true;
                }
                codes.len()
            }
            Codes::Runs { rows, runs } => {
                if size_of_runs(width, runs.len()) < size_of_packed(width, *rows) {
                    push_runs(&mut self.page, width, runs.iter().copied());
                } else {
                    let codes = runs
                        .iter()
                        .flat_map(|&(code, length)| std::iter::repeat_n(code, length as usize));
                    push_packed(&mut self.page, width, &codes.collect::<Vec<u32>>());
                }
                *rows
            }
        };
        let nulls = self.rows - given;
        // Both pages of a column have the same codec.
        let codec = match is_packed && plain.len() * 8 < self.page.len() {
            true => self.codec_of_packed()?,
            false => Compression::Zstd,
        };
        let data = self.data(Encoding::RleDictionary, codec, nulls, ends, descriptor)?;
        let bytes = compress(&mut self.compressor, &mut self.compressed, codec, plain)?;
        let dictionary = CompressedDictPage::new(bytes, codec, plain.len(), distinct, false);
        Ok(vec![CompressedPage::Dict(dictionary), data])
    }

    /// Begins a data page. Every column may hold nulls, says its schema.
    fn begin(&mut self, valid: Option<&[bool]>) {
        self.page.clear();
        push_levels(&mut self.page, self.rows, valid);
    }

    /// How the page so far, of packed values, is best kept.
    fn codec_of_packed(&mut self) -> PolarsResult<Compression> {
        let tried = &self.page[..self.page.len().min(TRIED)];
        let shorter =
            compress(&mut self.compressor, &mut self.compressed, Compression::Zstd, tried)?;
        let is_worth_it = shorter.len() * 8 < tried.len() * 7;
        Ok(if is_worth_it { Compression::Zstd } else { Compression::Uncompressed })
    }

    /// Ends a data page.
    fn data(
        &mut self,
        encoding: Encoding,
        codec: Compression,
        nulls: usize,
        ends: Ends,
        descriptor: &Descriptor,
    ) -> PolarsResult<CompressedPage> {
        let (min_value, max_value) = ends.unzip();
        let statistics = ParquetStatistics {
            null_count: Some(nulls as i64),
            distinct_count: None,
            min_value,
            max_value,
            min: None,
            max: None,
            is_min_value_exact: None,
            is_max_value_exact: None,
        };
        let header = DataPageHeaderV1 {
            num_values: self.rows as i32,
            encoding: encoding.into(),
            definition_level_encoding: Encoding::Rle.into(),
            repetition_level_encoding: Encoding::Rle.into(),
            statistics: Some(statistics),
        };
        let bytes = compress(&mut self.compressor, &mut self.compressed, codec, &self.page)?;
        Ok(CompressedPage::Data(CompressedDataPage::new(
            DataPageHeader::V1(header),
            bytes,
            codec,
            self.page.len(),
            descriptor.clone(),
            self.rows,
        )))
    }
}

/// Compresses by way of a buffer, so that what is kept is no longer than it must be.
fn compress(
    compressor: &mut zstd::bulk::Compressor<'static>,
    buffer: &mut Vec<u8>,
    codec: Compression,
    bytes: &[u8],
) -> PolarsResult<CowBuffer> {
    if codec == Compression::Uncompressed {
        return Ok(CowBuffer::Owned(bytes.to_vec()));
    }
    buffer.clear();
    buffer.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
    compressor.compress_to_buffer(bytes, buffer)?;
    Ok(CowBuffer::Owned(buffer.as_slice().to_vec()))
}

fn span_of(values: &[i64]) -> Option<(i64, i64)> {
    let (&first, rest) = values.split_first()?;
    Some(rest.iter().fold((first, first), |(min, max), &value| (min.min(value), max.max(value))))
}

fn ends_of(span: Option<(i64, i64)>) -> Ends {
    span.map(|(min, max)| (min.to_le_bytes().to_vec(), max.to_le_bytes().to_vec()))
}

/// As Parquet wants it, a zero is -0 at the lower end and +0 at the upper.
fn ends_of_numbers(values: &[f64]) -> Ends {
    if values.is_empty() {
        return None;
    }
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = if min == 0.0 { -0.0 } else { min };
    let max = if max == 0.0 { 0.0 } else { max };
    Some((min.to_le_bytes().to_vec(), max.to_le_bytes().to_vec()))
}
