//! `mp head` and `mp export`: rows for people, and for whoever wants CSV.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::artifact::Artifact;
use super::global::Global;
use super::output;
use super::project::Project;
use crate::error::Error;
use crate::exit_code::ExitCode;

/// A cell of `head` is cut after so many characters; `export` cuts nothing.
const CELL_CHARS: usize = 60;

/// Arguments of `mp head`.
#[derive(Debug, Args)]
pub(super) struct HeadArgs {
    /// gold, prints, taps, payments or rejects:SOURCE
    artifact: Artifact,
    /// How many rows
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    rows: u64,
}

/// Arguments of `mp export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// gold, prints, taps, payments or rejects:SOURCE
    artifact: Artifact,
    /// The file to write, or - for stdout
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
}

/// Prints the first rows.
pub(super) fn head(global: &Global, args: &HeadArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let layout = project.store.layout();
    let (mut columns, mut rows) = (Vec::new(), Vec::<Vec<String>>::new());
    args.artifact.read(
        layout,
        args.rows,
        &mut |names| {
            columns = names.to_vec();
            Ok(())
        },
        &mut |row| {
            rows.push(row.to_vec());
            Ok(())
        },
    )?;
    if global.json {
        let facts = json!({
            "artifact": args.artifact.to_string(),
            "path": args.artifact.path(layout).display().to_string(),
            "columns": columns,
            "rows": rows,
        });
        output::document("head", facts)?;
        return Ok(ExitCode::Success);
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(&columns);
    for row in rows {
        table.add_row(row.iter().map(|cell| shown(cell)));
    }
    output::text(&format!("{}\n", table.trim_fmt()))?;
    Ok(ExitCode::Success)
}

/// A cell as a terminal may see it: no control characters, not too long.
fn shown(cell: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut text: String = cell.chars().take(CELL_CHARS).map(plain).collect();
    if cell.chars().nth(CELL_CHARS).is_some() {
        text.push('…');
    }
    text
}

/// Writes an artifact as CSV; a file appears whole or not at all.
pub(super) fn export(global: &Global, args: &ExportArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let layout = project.store.layout();
    if global.dry_run {
        let path = args.artifact.path(layout);
        output::text(&format!("would write {} as {}\n", path.display(), args.csv.display()))?;
        return Ok(ExitCode::Success);
    }
    if args.csv == Path::new("-") {
        if global.json {
            let text = "`--csv -` prints CSV on stdout, where `--json` prints its document";
            return Err(Error::with_hint(ExitCode::Usage, text, "name a file, or leave one out"));
        }
        write_rows(args.artifact, layout, io::stdout().lock())?;
        return Ok(ExitCode::Success);
    }
    let failed = |error: io::Error| {
        let exit = match error.kind() {
            io::ErrorKind::StorageFull => ExitCode::Temporary,
            _ => ExitCode::Failure,
        };
        Error::new(exit, format!("cannot write `{}`: {error}", args.csv.display()))
    };
    // A device, a pipe: there is nothing to replace, it is written to as it is.
    if fs_err::metadata(&args.csv).is_ok_and(|target| !target.is_file() && !target.is_dir()) {
        let target = fs_err::OpenOptions::new().write(true).open(&args.csv).map_err(failed)?;
        write_rows(args.artifact, layout, io::BufWriter::new(target))?;
        return Ok(ExitCode::Success);
    }
    // A link stays, what it points at is replaced.
    let target = fs_err::canonicalize(&args.csv).unwrap_or_else(|_| args.csv.clone());
    refuse_own_folders(&target, layout)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let rows = write_rows(args.artifact, layout, io::BufWriter::new(file.as_file_mut()))?;
    let mode = match args.artifact {
        Artifact::Rejects(_) => 0o640,
        Artifact::Gold | Artifact::Silver(_) => 0o644,
    };
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    file.as_file().set_permissions(permissions).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    if global.json {
        let facts = json!({
            "artifact": args.artifact.to_string(),
            "csv": args.csv.display().to_string(),
            "rows": rows,
        });
        output::document("export", facts)?;
    } else {
        output::text(&format!("{rows} rows of {} in {}\n", args.artifact, args.csv.display()))?;
    }
    Ok(ExitCode::Success)
}

/// An export never takes the place of raw files, artifacts or what mp keeps.
fn refuse_own_folders(target: &Path, layout: &crate::store::Layout) -> Result<(), Error> {
    let target = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
    let own = [&layout.raw, &layout.processed, &layout.output, &layout.reports, &layout.store];
    for folder in own {
        let real = fs_err::canonicalize(folder).unwrap_or_else(|_| folder.clone());
        if target.starts_with(folder) || target.starts_with(real) {
            let text = format!("`{}` lies in a folder of raw files or artifacts", target.display());
            return Err(Error::with_hint(ExitCode::Usage, text, "export to another folder"));
        }
    }
    Ok(())
}

fn write_rows(
    artifact: Artifact,
    layout: &crate::store::Layout,
    out: impl Write,
) -> Result<u64, Error> {
    let mut rows = 0;
    let writer = std::cell::RefCell::new(csv::Writer::from_writer(out));
    let written = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => Error::Closed,
        csv::ErrorKind::Io(error) => {
            let exit = match error.kind() {
                io::ErrorKind::StorageFull => ExitCode::Temporary,
                _ => ExitCode::Failure,
            };
            Error::new(exit, format!("cannot write the CSV: {error}"))
        }
        other => Error::new(ExitCode::Internal, format!("cannot write the CSV: {other:?}")),
    };
    let result = artifact.read(
        layout,
        u64::MAX,
        &mut |names| writer.borrow_mut().write_record(names).map_err(written),
        &mut |row| {
            rows += 1;
            writer.borrow_mut().write_record(row).map_err(written)
        },
    );
    let flushed = writer.borrow_mut().flush().map_err(|error| written(error.into()));
    match result.and(flushed) {
        // Whoever read it has seen enough.
        Err(Error::Closed) => Ok(rows),
        other => other.map(|()| rows),
    }
}
