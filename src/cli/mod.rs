//! The command line: what users and Airflow type, and what comes back.
//!
//! One thin file for each subcommand: its arguments and what it calls. stdout carries the result,
//! stderr logs and progress. Nothing is computed here.

mod airflow_command;
mod airflow_document;
mod airflow_mode;
mod artifact;
mod config_command;
mod data_commands;
mod days;
mod diff_command;
mod differences;
mod doctor_checks;
mod doctor_command;
mod explain_command;
mod gc_command;
mod global;
mod graph_command;
mod output;
mod plan_command;
mod project;
mod rebuild;
mod recorder;
mod resources;
mod retry_command;
mod run_command;
mod runs_command;
mod show_command;
mod signals;
mod status_command;
mod synth_command;
mod verify_command;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::error::Error;
use crate::exit_code::ExitCode;
use airflow_mode::AirflowMode;
use global::Global;

/// Turns raw event logs (prints, taps, payments) into a machine-learning-ready dataset that can
/// be trusted: every row checked, every reject explained, features that never see the future.
#[derive(Debug, Parser)]
#[command(name = "mp", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  mp run --all                           bring everything up to date
  mp plan                                what would run, and why
  mp explain features                    all that its result is made of, and what changed
  mp run --all --as-of 2020-11-30        as it was known at the end of that day
  mp extract --source taps               one stage, one source
  mp head gold -n 5                      look at the result

Exit codes:
  0 done, up to date or warnings only    5 quality gate failed
  1 a stage failed                       6 refused: an upstream artifact is missing or stale
  2 wrong usage or configuration        70 internal error
  3 input missing or unreadable         75 temporary: lock held, disk full; retry
  4 data contract broken               130 / 143 stopped by SIGINT / SIGTERM")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read raw files, check every row, keep good ones sorted and bad ones explained
    #[command(after_help = "Examples:
  mp extract                             all sources
  mp extract --source payments           one of them
  mp extract --set processing.max_reject_rate=0.1")]
    Extract(run_command::SourceStage),
    /// Merge a source's files into one Silver table: duplicates out, rows after as_of left for later
    #[command(after_help = "Examples:
  mp preprocess
  mp preprocess --source prints --as-of 2020-11-30")]
    Preprocess(run_command::SourceStage),
    /// Build Gold: one row for each print of the target window, with what was known the day before
    #[command(after_help = "Examples:
  mp features
  mp features --set processing.lookback_window_days=14")]
    Features(run_command::PlainStage),
    /// Judge Silver and Gold, write the report, open or shut the gate
    #[command(after_help = "Examples:
  mp quality
  mp quality --json | jq '.tasks[0].counts'")]
    Quality(run_command::PlainStage),
    /// Bring tasks up to date: run what is not, in order, in parallel
    #[command(after_help = "Examples:
  mp run --all                           everything (so does `mp run`)
  mp run features                        one stage; its upstream must be up to date
  mp run +features                       the stage and everything before it
  mp run features+                       the stage and everything after it
  mp run extract.taps --force            compute it even if it is up to date
  mp run --all --no-cache                compute what an earlier run has the result of
  mp run --all -k --retries 3            try again what may come right, go on after a failure
  mp run --all --dry-run                 the same as `mp plan`")]
    Run(run_command::RunArgs),
    /// Tell what would run, and why
    #[command(after_help = "Examples:
  mp plan
  mp plan features+ --set processing.lookback_window_days=14
  mp plan --no-cache                     as if no earlier result were kept
  mp plan --exit-code                    exit 1 if anything would run")]
    Plan(plan_command::PlanArgs),
    /// Explain one task: each ingredient, old and new, where it comes from, and what follows
    #[command(after_help = "Examples:
  mp explain features
  mp explain extract.prints --set processing.max_reject_rate=0.1
  mp explain quality --against latest~1
  mp explain features --json | jq '.ingredients[] | select(.differs)'")]
    Explain(explain_command::ExplainArgs),
    /// Tell what is there: artifacts, rows, when and from what they were made
    #[command(after_help = "Examples:
  mp status
  mp status --json | jq '.tasks[].state'")]
    Status(status_command::StatusArgs),
    /// List the runs that did something or tried to, newest first
    #[command(after_help = "Examples:
  mp runs
  mp runs --failed -n 5
  mp runs --json | jq '.runs[0].tasks'

A run that finds nothing to do is not recorded: it writes nothing but the log. A run that was killed
is listed as such. The newest 200 are kept, in `runs` below `store.path`.")]
    Runs(runs_command::RunsArgs),
    /// Tell all that is recorded of one run
    #[command(after_help = "Examples:
  mp show                                the newest run
  mp show 20201201T0930                  the run whose id begins so
  mp show latest~1 --json | jq '.tasks[].error'")]
    Show(show_command::ShowArgs),
    /// Tell what differs between two runs: settings, versions, inputs, rows, rejects, schemas, quality
    #[command(after_help = "Examples:
  mp diff                                the last two runs
  mp diff 20201201T0930 latest
  mp diff latest~1 latest --exit-code    exit 1 if anything differs

How long a run took, where it ran, and what of it was found ready-made is no difference.")]
    Diff(diff_command::DiffArgs),
    /// Run again what failed, was blocked or was stopped in the last such run
    #[command(after_help = "Examples:
  mp retry
  mp retry --as-of 2020-11-30            the last such run of that day
  mp retry --dry-run                     what it would do
  mp retry --force                       compute what failed, even what would fail the same way

The selection and the as_of are those of that run, the settings are the present ones; where they \
differ it says so. What a later run of the same folders has mended is left alone.")]
    Retry(retry_command::RetryArgs),
    /// Hash every artifact and object anew and compare it with its manifest
    #[command(after_help = "Examples:
  mp verify                              everything, of every day
  mp verify features --as-of 2020-11-30  one task's files of one day
  mp verify --repair                     make good what is damaged
  mp verify --rebuild                    compute all of it again elsewhere, and compare the bytes

`--repair` takes damaged files from another copy of their content: the object of an artifact, the \
artifact of an object. Where there is none, the artifact is removed, and `_SUCCESS.json` if it is Gold; \
the task is set aside and `mp run --all` computes it. An object that nothing publishes is made again \
when it is needed. Damaged objects are removed, so that none is ever restored. Nothing else is touched, \
and nothing at all where a newer mp has written.

`--rebuild` takes settings and as_of from the manifests and reads the raw files where they are.

Exits with 0 if all is well or was mended, 1 if something is damaged, came out otherwise or is still \
to run again, 75 if another process is at work on what cannot be judged. With `--rebuild` 6 if raw files \
or mp itself have changed since the artifacts were made, 3 if a raw file is missing: then nothing is \
said about damage.")]
    Verify(verify_command::VerifyArgs),
    /// List what nobody needs any more, and delete it with --apply
    #[command(after_help = "Examples:
  mp gc                                  what would go, why, and how much room that gives
  mp gc --apply                          delete it
  mp gc --keep-runs 1 --apply            keep nothing to go back to but the last run

Kept is what the manifests name, of every day that still has its folder; what another task has yet \
to read; and results to go back to. Of those each run keeps the newest store.keep of each task and \
removes older ones by itself, so without `--keep-runs` only leftovers are listed: of killed and failed \
runs, of days whose folders are gone. `--keep-runs N` keeps those of the last N runs in place of that, \
as far as they are still there, and the records of those runs in place of 200. Artifacts are never \
touched, nor are files that mp did not make.

Listing waits for nobody. Deleting waits up to `--lock-timeout` for whoever runs, then exits with 75. \
SIGINT and SIGTERM stop it between two files: what is left goes with the next `mp gc --apply`.")]
    Gc(gc_command::GcArgs),
    /// Draw the graph of tasks
    #[command(after_help = "Examples:
  mp graph
  mp graph --format dot | dot -Tsvg > graph.svg
  mp graph --format mermaid")]
    Graph(graph_command::GraphArgs),
    /// Show or check the configuration
    #[command(after_help = "Examples:
  mp config show --origin                every value and where it comes from
  mp config check --config config/example.yaml")]
    Config(config_command::ConfigArgs),
    /// Write the DAG file that runs the graph under Airflow
    #[command(after_help = "Example:
  mp airflow dag --operator bash --out dags/mp_carousel_bash.py")]
    Airflow(airflow_command::AirflowArgs),
    /// Make raw files to try things with: seeded, realistic, with some bad rows
    #[command(after_help = "Examples:
  mp synth data/raw --prints 20000
  mp synth /tmp/big --prints 10000000 --users 2000000 --days 30 --dirty 0.001")]
    Synth(synth_command::SynthArgs),
    /// Print the first rows of an artifact
    #[command(
        after_help = "Artifacts: gold, prints, taps, payments, rejects:prints, rejects:taps, rejects:payments

Examples:
  mp head gold -n 5
  mp head rejects:payments --json"
    )]
    Head(data_commands::HeadArgs),
    /// Write an artifact as CSV
    #[command(after_help = "Examples:
  mp export gold --csv gold.csv
  mp export prints --csv - | wc -l")]
    Export(data_commands::ExportArgs),
    /// Tell what this machine lacks for a run, and what to do about it
    #[command(after_help = "Examples:
  mp doctor
  mp doctor --json | jq '.checks[] | select(.status != \"ok\")'

Exits with 1 if something would make a run fail.")]
    Doctor,
    /// Print a completion script for a shell
    #[command(after_help = "Example:
  mp completions bash > /etc/bash_completion.d/mp")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// What the schema of its JSON document calls it.
    fn name(&self) -> &'static str {
        match self {
            Command::Extract(_) => "extract",
            Command::Preprocess(_) => "preprocess",
            Command::Features(_) => "features",
            Command::Quality(_) => "quality",
            Command::Run(_) => "run",
            Command::Plan(_) => "plan",
            Command::Explain(_) => "explain",
            Command::Status(_) => "status",
            Command::Runs(_) => "runs",
            Command::Show(_) => "show",
            Command::Diff(_) => "diff",
            Command::Retry(_) => "retry",
            Command::Verify(_) => "verify",
            Command::Gc(_) => "gc",
            Command::Graph(_) => "graph",
            Command::Config(args) => args.name(),
            Command::Airflow(_) => "airflow-dag",
            Command::Synth(_) => "synth",
            Command::Head(_) => "head",
            Command::Export(_) => "export",
            Command::Doctor => "doctor",
            Command::Completions { .. } => "completions",
        }
    }
}

/// The commands that run tasks, which may be tasks of Airflow.
const RUNS: [&str; 6] = ["extract", "preprocess", "features", "quality", "run", "retry"];

/// Parses the arguments, does what they say and returns how it ended.
pub fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    let (json, command) = (cli.global.json, cli.command.name());
    let mode = cli.airflow_mode();
    cli.global.mode.clone_from(&mode);
    // The panic itself has been told on stderr by then.
    let ended = std::panic::catch_unwind(|| execute(cli)).unwrap_or_else(|_| {
        let (text, hint) = ("mp panicked", "this is a bug in mp: please report it");
        Err(Error::with_hint(ExitCode::Internal, text, hint))
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            match mode {
                Some(mode) => mode.end_with_error(&error, !json),
                None => output::error(&error),
            }
            if json {
                output::error_document(command, &error);
            }
            error.exit_code()
        }
    }
}

impl Cli {
    /// The contract with Airflow, if this process is a task of it.
    fn airflow_mode(&self) -> Option<AirflowMode> {
        let name = match &self.command {
            Command::Extract(args) | Command::Preprocess(args) => args.task(self.command.name()),
            other => other.name().to_owned(),
        };
        let is_run = RUNS.contains(&self.command.name()) && !self.global.dry_run;
        let environment = project::environment();
        let root = project::root(&environment);
        AirflowMode::of(self.global.is_airflow_task(), &environment, root, &name, is_run)
    }
}

/// Ends what could not be understood; help and version are no failure.
fn misunderstood(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed stream is no news.
        let _ = error.print();
        return ExitCode::Success;
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let command = command_among(&arguments);
    let environment = project::environment();
    let asked = arguments.iter().rev().find_map(|argument| match argument.to_str() {
        Some("--airflow") => Some(true),
        Some("--no-airflow") => Some(false),
        _ => None,
    });
    let (root, is_run) = (project::root(&environment), RUNS.contains(&command.as_str()));
    let text = error.render().to_string();
    // Without a command the text is the help, whose first line is no reason.
    let no_command = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    let reason =
        if no_command { "no command is given" } else { text.trim_start_matches("error: ") };
    match AirflowMode::of(asked, &environment, root, &command, is_run) {
        None => {
            let _ = error.print();
        }
        Some(mode) => {
            airflow_mode::say(&text);
            mode.end_early(ExitCode::Usage, reason, !json);
        }
    }
    if json {
        output::usage_error(&command, &text);
    }
    ExitCode::Usage
}

/// The command that somebody meant, for the schema of the document that says it went wrong.
fn command_among(arguments: &[std::ffi::OsString]) -> String {
    let commands = Cli::command();
    let known = commands.get_subcommands().map(clap::Command::get_name);
    let known: Vec<&str> = known.collect();
    let given = arguments.iter().filter_map(|argument| argument.to_str());
    given.into_iter().find(|name| known.contains(name)).unwrap_or("mp").to_owned()
}

fn execute(cli: Cli) -> Result<ExitCode, Error> {
    let global = cli.global;
    match cli.command {
        Command::Extract(args) => run_command::source_stage(&global, "extract", &args),
        Command::Preprocess(args) => run_command::source_stage(&global, "preprocess", &args),
        Command::Features(args) => run_command::plain_stage(&global, "features", &args),
        Command::Quality(args) => run_command::plain_stage(&global, "quality", &args),
        Command::Run(args) => run_command::run(&global, &args),
        Command::Plan(args) => plan_command::plan(&global, &args),
        Command::Explain(args) => explain_command::explain(&global, &args),
        Command::Status(args) => status_command::status(&global, &args),
        Command::Runs(args) => runs_command::runs(&global, &args),
        Command::Show(args) => show_command::show(&global, &args),
        Command::Diff(args) => diff_command::diff(&global, &args),
        Command::Retry(args) => retry_command::retry(&global, &args),
        Command::Verify(args) => verify_command::verify(&global, &args),
        Command::Gc(args) => gc_command::gc(&global, &args),
        Command::Graph(args) => graph_command::graph(&global, &args),
        Command::Config(args) => config_command::config(&global, &args),
        Command::Airflow(args) => airflow_command::airflow(&global, &args),
        Command::Synth(args) => synth_command::synth(&global, &args),
        Command::Head(args) => data_commands::head(&global, &args),
        Command::Export(args) => data_commands::export(&global, &args),
        Command::Doctor => doctor_command::doctor(&global),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mp", &mut script);
            output::bytes(&script)?;
            Ok(ExitCode::Success)
        }
    }
}
