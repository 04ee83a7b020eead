//! `mp graph`: the tasks and their edges, drawn or as data.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::global::Global;
use super::output;
use super::project::Project;
use crate::dag::Graph;
use crate::error::Error;
use crate::exit_code::ExitCode;

/// Arguments of `mp graph`.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// How to draw it
    #[arg(long, value_enum, default_value_t = Format::Ascii)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line for each task
    Ascii,
    /// Graphviz
    Dot,
    /// Mermaid, as Markdown viewers draw it
    Mermaid,
    /// JSON
    Json,
}

/// Draws the graph.
pub(super) fn graph(global: &Global, args: &GraphArgs) -> Result<ExitCode, Error> {
    let graph = Project::load(global)?.graph()?;
    match (args.format, global.json) {
        (Format::Json, _) | (_, true) => {
            let task = |id: &crate::dag::TaskId| {
                json!({
                    "task": id,
                    "stage": id.stage(),
                    "source": id.source(),
                    "needs": graph.needs(id),
                })
            };
            let tasks: Vec<_> = graph.tasks().iter().map(task).collect();
            output::document("graph", json!({ "name": graph.name(), "tasks": tasks }))?;
        }
        (Format::Ascii, _) => output::text(&ascii(&graph))?,
        (Format::Dot, _) => output::text(&dot(&graph))?,
        (Format::Mermaid, _) => output::text(&mermaid(&graph))?,
    }
    Ok(ExitCode::Success)
}

fn ascii(graph: &Graph) -> String {
    let width = graph.tasks().iter().map(|task| task.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for task in graph.tasks() {
        let needs: Vec<String> = graph.needs(task).iter().map(ToString::to_string).collect();
        if needs.is_empty() {
            text.push_str(&format!("{task}\n"));
        } else {
            text.push_str(&format!("{:width$} ← {}\n", task.as_str(), needs.join(", ")));
        }
    }
    text
}

fn dot(graph: &Graph) -> String {
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", graph.name());
    for task in graph.tasks() {
        text.push_str(&format!("  \"{task}\";\n"));
        for need in graph.needs(task) {
            text.push_str(&format!("  \"{need}\" -> \"{task}\";\n"));
        }
    }
    text + "}\n"
}

fn mermaid(graph: &Graph) -> String {
    let node = |task: &crate::dag::TaskId| task.as_str().replace('.', "_");
    let mut text = "flowchart LR\n".to_owned();
    for task in graph.tasks() {
        text.push_str(&format!("  {}[{task}]\n", node(task)));
        for need in graph.needs(task) {
            text.push_str(&format!("  {} --> {}\n", node(&need), node(task)));
        }
    }
    text
}
