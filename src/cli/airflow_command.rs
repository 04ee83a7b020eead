//! `mp airflow dag`: the DAG file for Airflow, made from the graph file.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::global::Global;
use super::output;
use super::project::Project;
use crate::airflow::{self, Operator};
use crate::error::Error;
use crate::exit_code::ExitCode;

/// Arguments of `mp airflow`.
#[derive(Debug, Args)]
pub(super) struct AirflowArgs {
    #[command(subcommand)]
    command: AirflowCommand,
}

#[derive(Debug, Subcommand)]
enum AirflowCommand {
    /// Write the DAG file of dags/carousel.yaml, for Airflow 3.3
    #[command(after_help = "Examples:
  mp airflow dag --operator bash --out dags/mp_carousel_bash.py
  mp airflow dag --operator kubernetes | less")]
    Dag(DagArgs),
}

#[derive(Debug, Args)]
struct DagArgs {
    /// Where the tasks run
    #[arg(long, value_enum)]
    operator: OperatorName,
    /// The file to write [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OperatorName {
    /// On workers that have mp: BashOperator
    Bash,
    /// In pods: KubernetesPodOperator
    Kubernetes,
}

/// Writes or prints the DAG file.
pub(super) fn airflow(global: &Global, args: &AirflowArgs) -> Result<ExitCode, Error> {
    let AirflowCommand::Dag(args) = &args.command;
    let operator = match args.operator {
        OperatorName::Bash => Operator::Bash,
        OperatorName::Kubernetes => Operator::Kubernetes,
    };
    let project = Project::load(global)?;
    let (spec, graph) = (project.spec()?, project.graph()?);
    let wrong = |error: airflow::AirflowError| {
        let hint = format!("change `name` in `{}`", spec.file);
        Error::with_hint(ExitCode::Usage, error.to_string(), hint)
    };
    let text = airflow::dag_file(&graph, &spec.airflow, operator).map_err(wrong)?;
    if let Some(out) = args.out.as_ref().filter(|_| !global.dry_run) {
        write(out, &text)?;
    }
    let dag_id = airflow::dag_id(&graph, operator);
    if global.json {
        let out = args.out.as_ref().map(|out| out.display().to_string());
        let facts = json!({
            "dag_id": dag_id,
            "operator": operator.to_string(),
            "out": out,
            "text": args.out.is_none().then_some(text),
        });
        output::document("airflow-dag", facts)?;
    } else if let Some(out) = &args.out {
        let verb = if global.dry_run { "would write" } else { "wrote" };
        output::text(&format!("{verb} the DAG {dag_id} to {}\n", out.display()))?;
    } else {
        output::text(&text)?;
    }
    Ok(ExitCode::Success)
}

/// The file appears whole or not at all: Airflow may read the folder at any time.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |error: io::Error| {
        let exit = match error.kind() {
            io::ErrorKind::StorageFull => ExitCode::Temporary,
            _ => ExitCode::Failure,
        };
        Error::new(exit, format!("cannot write `{}`: {error}", path.display()))
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder).map_err(failed)?;
    // Airflow reads only files that end in .py.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    let mode = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
