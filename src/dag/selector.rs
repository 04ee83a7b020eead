//! What a user selects of a graph: `features`, `+features`, `features+`, `+extract.prints+`.
//!
//! A stage stands for all its tasks; a `+` before takes all that is upstream, one after all that is
//! downstream. Does not know what is up to date.

use std::collections::BTreeSet;

use super::error::{DagError, suggest};
use super::graph::Graph;
use super::task_id::TaskId;

/// One selector, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Selector<'a> {
    /// A stage or a task.
    name: &'a str,
    upstream: bool,
    downstream: bool,
}

impl<'a> From<&'a str> for Selector<'a> {
    fn from(text: &'a str) -> Selector<'a> {
        let (upstream, name) = match text.strip_prefix('+') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let (downstream, name) = match name.strip_suffix('+') {
            Some(name) => (true, name),
            None => (false, name),
        };
        Selector { name, upstream, downstream }
    }
}

/// The tasks that the selectors name, all together; all tasks if there is no selector.
pub fn select<S: AsRef<str>>(graph: &Graph, selectors: &[S]) -> Result<BTreeSet<TaskId>, DagError> {
    if selectors.is_empty() {
        return Ok(graph.tasks().iter().cloned().collect());
    }
    let mut selected = BTreeSet::new();
    for text in selectors {
        let selector = Selector::from(text.as_ref());
        let named = |task: &&TaskId| [task.as_str(), task.stage()].contains(&selector.name);
        let tasks: Vec<&TaskId> = graph.tasks().iter().filter(named).collect();
        if tasks.is_empty() {
            let stages = graph.stages().iter().map(String::as_str);
            let tasks = graph.tasks().iter().filter(|task| task.source().is_some());
            return Err(DagError::Selector {
                selector: text.as_ref().to_owned(),
                name: selector.name.to_owned(),
                hint: suggest(selector.name, stages.chain(tasks.map(TaskId::as_str))),
            });
        }
        for task in tasks {
            if selector.upstream {
                selected.extend(graph.ancestors(task));
            }
            if selector.downstream {
                selected.extend(graph.descendants(task));
            }
            selected.insert(task.clone());
        }
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::{Spec, StageForm};

    fn chosen(selectors: &[&str]) -> Result<String, DagError> {
        let spec = Spec::built_in().unwrap();
        let sources = ["prints", "taps"];
        let graph = Graph::from_spec(&spec, &StageForm::as_in(&spec), &sources).unwrap();
        let tasks = select(&graph, selectors)?;
        Ok(tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_plus_takes_what_is_upstream_or_downstream() {
        assert_eq!(chosen(&["features"]).unwrap(), "features");
        assert_eq!(chosen(&["extract"]).unwrap(), "extract.prints extract.taps");
        assert_eq!(chosen(&["features+"]).unwrap(), "features quality");
        assert_eq!(chosen(&["+preprocess.taps"]).unwrap(), "extract.taps preprocess.taps");
        assert_eq!(
            chosen(&["+preprocess.taps+"]).unwrap(),
            "extract.taps features preprocess.taps quality"
        );
        assert_eq!(chosen(&["quality", "extract.taps"]).unwrap(), "extract.taps quality");
        assert_eq!(chosen(&[]).unwrap(), chosen(&["extract+"]).unwrap());
        assert_eq!(chosen(&[]).unwrap(), chosen(&["+quality"]).unwrap());
    }

    #[test]
    fn what_names_nothing_is_an_error_with_a_suggestion() {
        let error = chosen(&["+feature"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`+feature` selects nothing: there is no stage or task `feature`"
        );
        assert!(error.hint().unwrap().starts_with("did you mean `features`? known: `extract`"));
        for text in ["", "+", "++", "extract.", "extract.nope", "Features"] {
            assert!(chosen(&[text]).is_err(), "{text}");
        }
    }
}
