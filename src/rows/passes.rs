//! Making fewer, longer runs of very many, in passes.
//!
//! Each run of a range of users costs at least one block, so there is a limit to how many are
//! worth reading at once.

use std::io::{self, Write};

use super::build::BlockBuilder;
use super::gather::{Gatherer, NumberedFile, Run, runs_of};
use super::ordered::in_order;
use super::pool::Pool;
use super::{HashRange, RowsError, RowsFile, RowsWriter, Sizes};

/// How a pass is worked at.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// The most runs read at once.
    pub fan_in: usize,
    /// Threads that work.
    pub threads: usize,
    /// About how many bytes one thread holds.
    pub most_bytes: u64,
}

/// Merges groups of runs into longer ones until at most `fan_in` are left.
///
/// `spill` gives a new place to write longer runs to, and `reopen` makes a written one readable;
/// both places are the caller's to remove. The result are the files to read last.
pub fn merge_in_passes<W: Write>(
    mut files: Vec<NumberedFile>,
    effort: Effort,
    sizes: &Sizes,
    mut spill: impl FnMut() -> Result<W, RowsError>,
    mut reopen: impl FnMut(W) -> Result<RowsFile, RowsError>,
) -> Result<Vec<NumberedFile>, RowsError> {
    let fan_in = effort.fan_in.max(2);
    let gatherers = Pool::<(Gatherer, BlockBuilder)>::default();
    loop {
        let runs = runs_of(&files);
        if runs.len() <= fan_in {
            break;
        }
        let mut writer = RowsWriter::new(spill()?)?;
        for group in runs.chunks(fan_in) {
            writer.begin_run();
            let rows = group.iter().map(Run::rows).sum();
            in_order(
                &HashRange::split_by_rows(rows, sizes.part_rows),
                effort.threads,
                |&range, emitter| {
                    gatherers.with(Default::default, |(gatherer, builder)| {
                        let abandoned = |_| RowsError::Io(io::ErrorKind::Interrupted.into());
                        builder.forget_names();
                        gatherer.each_row(
                            group,
                            range,
                            effort.most_bytes,
                            |row, user, is_first, names| {
                                builder.push(row, user, is_first, names);
                                if builder.is_full(sizes.block_rows, sizes) {
                                    emitter.emit(builder.take()).map_err(abandoned)?;
                                }
                                Ok::<(), RowsError>(())
                            },
                        )?;
                        emitter.emit(builder.take()).map_err(abandoned)
                    })
                },
                |block| Ok(writer.write(&block)?),
            )?;
        }
        files = vec![(reopen(writer.finish()?.0)?, None)];
    }
    Ok(files)
}
