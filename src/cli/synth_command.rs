//! `mp synth`.

use std::io::IsTerminal;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;
use serde_json::json;

use super::global::Global;
use super::output;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::synth::{SynthOptions, generate};

/// Arguments of `mp synth`.
#[derive(Debug, Args)]
pub(super) struct SynthArgs {
    /// The folder for prints.json, taps.json and pays.csv
    out: PathBuf,
    /// Lines of prints.json
    #[arg(long, value_name = "N")]
    prints: u64,
    /// Lines of taps.json [default: a tenth of the prints]
    #[arg(long, value_name = "N")]
    taps: Option<u64>,
    /// Records of pays.csv [default: one and a half for each print]
    #[arg(long, value_name = "N")]
    payments: Option<u64>,
    /// How many users there are [default: a fifth of the prints]
    #[arg(long, value_name = "N")]
    users: Option<u64>,
    /// Over how many days the rows are spread
    #[arg(long, value_name = "N", default_value_t = 30)]
    days: u32,
    /// The last of these days
    #[arg(long, value_name = "DATE", default_value = "2020-11-30")]
    end: NaiveDate,
    /// Another seed, other data; the same seed, the same bytes
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// The share of rows that break a rule
    #[arg(long, value_name = "RATE", default_value_t = 0.002)]
    dirty: f64,
}

/// Makes raw files.
pub(super) fn synth(global: &Global, args: &SynthArgs) -> Result<ExitCode, Error> {
    let options = SynthOptions {
        taps: args.taps,
        payments: args.payments,
        users: args.users,
        days: args.days,
        end: args.end,
        seed: args.seed,
        dirty: args.dirty,
        force: global.force,
        ..SynthOptions::new(args.out.clone(), args.prints)
    };
    if global.dry_run {
        let text = format!("would write three files into {}\n", args.out.display());
        output::text(&text)?;
        return Ok(ExitCode::Success);
    }
    let shown = std::io::stderr().is_terminal() && global.quiet == 0;
    let bar = if shown { indicatif::ProgressBar::new(0) } else { indicatif::ProgressBar::hidden() };
    let summary = generate(&options, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    if global.json {
        output::document("synth", json!(summary))?;
        return Ok(ExitCode::Success);
    }
    let mut text = String::new();
    for (source, file) in &summary.files {
        text.push_str(&format!(
            "{source}: {} rows, {} of them bad, {} bytes in {}\n",
            file.rows,
            file.bad,
            file.bytes,
            args.out.join(&file.file).display()
        ));
    }
    output::text(&text)?;
    Ok(ExitCode::Success)
}
