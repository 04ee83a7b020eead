//! A graph with its names resolved: tasks, what each needs, and an order to run them in.
//!
//! Petgraph stays inside. Does not know what a task does or whether it is up to date.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, Reversed};

use super::error::{DagError, suggest};
use super::form::{StageForm, check_forms};
use super::spec::{Each, Spec, StageSpec};
use super::task_id::TaskId;
use super::tries::Tries;

/// Tasks and their needs.
#[derive(Debug, Clone)]
pub struct Graph {
    name: String,
    /// In the order of the file.
    stages: Vec<String>,
    /// An edge leads from a task to one that needs it.
    graph: DiGraph<TaskId, ()>,
    index: BTreeMap<TaskId, NodeIndex>,
    /// What a task needs comes before it; by name where nothing else decides.
    order: Vec<TaskId>,
    /// By stage.
    tries: BTreeMap<String, Tries>,
}

impl Graph {
    /// Resolves a graph file's names against the stages that exist and the sources.
    pub fn from_spec(
        spec: &Spec,
        forms: &[StageForm<'_>],
        sources: &[&str],
    ) -> Result<Graph, DagError> {
        check_names(spec, forms)?;
        check_cycles(spec)?;
        check_forms(spec, forms)?;
        let mut graph = DiGraph::new();
        let mut index = BTreeMap::new();
        for stage in &spec.stages {
            for task in tasks_of(stage, sources)? {
                index.insert(task.clone(), graph.add_node(task));
            }
        }
        let by_name: BTreeMap<&str, &StageSpec> =
            spec.stages.iter().map(|stage| (stage.name.as_str(), stage)).collect();
        for stage in &spec.stages {
            for need in stage.needs.iter().filter_map(|need| by_name.get(need.as_str())) {
                let (needed, tasks) = (tasks_of(need, sources)?, tasks_of(stage, sources)?);
                for (from, to) in needed.iter().flat_map(|a| tasks.iter().map(move |b| (a, b))) {
                    // Of two stages with a task for each source, a task needs that of its source.
                    if from.source().is_none()
                        || to.source().is_none_or(|to| from.source() == Some(to))
                    {
                        graph.add_edge(index[from], index[to], ());
                    }
                }
            }
        }
        let stages = spec.stages.iter().map(|stage| stage.name.clone()).collect();
        let order = order(&graph);
        let tries = spec.stages.iter().map(|stage| (stage.name.clone(), stage.tries)).collect();
        Ok(Graph { name: spec.name.clone(), stages, graph, index, order, tries })
    }

    /// How a task is tried.
    pub fn tries(&self, task: &TaskId) -> Tries {
        self.tries.get(task.stage()).copied().unwrap_or_default()
    }

    /// The graph's own name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stages, in the order of the file.
    pub fn stages(&self) -> &[String] {
        &self.stages
    }

    /// Every task, each after all that it needs; always in the same order.
    pub fn tasks(&self) -> &[TaskId] {
        &self.order
    }

    /// The tasks whose results a task reads, by name.
    pub fn needs(&self, task: &TaskId) -> Vec<TaskId> {
        let Some(&node) = self.index.get(task) else { return Vec::new() };
        let found = self.graph.neighbors_directed(node, Direction::Incoming);
        let mut tasks: Vec<TaskId> = found.map(|found| self.graph[found].clone()).collect();
        tasks.sort();
        tasks
    }

    /// All that a task needs, near and far, without itself.
    pub fn ancestors(&self, task: &TaskId) -> BTreeSet<TaskId> {
        let Some(&node) = self.index.get(task) else { return BTreeSet::new() };
        let reversed = Reversed(&self.graph);
        let mut walk = Dfs::new(reversed, node);
        let found = std::iter::from_fn(|| walk.next(reversed));
        found.filter(|found| *found != node).map(|found| self.graph[found].clone()).collect()
    }

    /// All that needs a task, near and far, without itself.
    pub fn descendants(&self, task: &TaskId) -> BTreeSet<TaskId> {
        let Some(&node) = self.index.get(task) else { return BTreeSet::new() };
        let mut walk = Dfs::new(&self.graph, node);
        let found = std::iter::from_fn(|| walk.next(&self.graph));
        found.filter(|found| *found != node).map(|found| self.graph[found].clone()).collect()
    }
}

fn tasks_of(stage: &StageSpec, sources: &[&str]) -> Result<Vec<TaskId>, DagError> {
    let task = |source: Option<&str>| {
        TaskId::new(&stage.name, source).map_err(|error| DagError::Syntax {
            file: "the program".to_owned(),
            message: error.to_string(),
            hint: None,
        })
    };
    match stage.each {
        Some(Each::Sources) => sources.iter().map(|source| task(Some(source))).collect(),
        None => Ok(vec![task(None)?]),
    }
}

fn check_names(spec: &Spec, forms: &[StageForm<'_>]) -> Result<(), DagError> {
    let unknown = |line, what, name: &str, place: String, hint| DagError::Unknown {
        file: spec.file.clone(),
        line,
        what,
        name: name.to_owned(),
        place,
        hint,
    };
    for stage in &spec.stages {
        if !forms.iter().any(|form| form.name == stage.name) {
            let hint = suggest(&stage.name, forms.iter().map(|form| form.name));
            return Err(unknown(stage.line, "stage", &stage.name, "`stages`".to_owned(), hint));
        }
        for need in &stage.needs {
            if !spec.stages.iter().any(|other| other.name == *need) {
                let place = format!("the needs of `{}`", stage.name);
                let hint = suggest(need, spec.stages.iter().map(|stage| stage.name.as_str()));
                return Err(unknown(stage.line, "stage", need, place, hint));
            }
        }
    }
    Ok(())
}

fn check_cycles(spec: &Spec) -> Result<(), DagError> {
    let mut graph = DiGraph::<&StageSpec, ()>::new();
    let nodes: BTreeMap<&str, NodeIndex> =
        spec.stages.iter().map(|stage| (stage.name.as_str(), graph.add_node(stage))).collect();
    for stage in &spec.stages {
        for need in &stage.needs {
            graph.add_edge(nodes[need.as_str()], nodes[stage.name.as_str()], ());
        }
    }
    let circles = tarjan_scc(&graph).into_iter().filter_map(|knot| circle(&graph, &knot));
    let Some(circle) = circles.min_by_key(|circle| circle.iter().map(|s| s.line).min()) else {
        return Ok(());
    };
    let names: Vec<&str> =
        circle.iter().chain(circle.first()).map(|stage| stage.name.as_str()).collect();
    let (file, line) = (spec.file.clone(), circle.first().map_or(1, |stage| stage.line));
    Err(DagError::Cycle { file, line, cycle: names.join(" → ") })
}

/// The shortest way around through the first stage of a knot; `None` if it is one stage alone.
fn circle<'a>(
    graph: &DiGraph<&'a StageSpec, ()>,
    knot: &[NodeIndex],
) -> Option<Vec<&'a StageSpec>> {
    let start = *knot.iter().min_by_key(|node| graph[**node].line)?;
    let mut came_from = BTreeMap::new();
    let mut edge = vec![start];
    while !edge.is_empty() && !came_from.contains_key(&start) {
        let mut next = Vec::new();
        for &node in &edge {
            let mut after: Vec<NodeIndex> = graph.neighbors(node).collect();
            after.sort_by_key(|node| graph[*node].line);
            for to in after.into_iter().filter(|to| knot.contains(to)) {
                if let std::collections::btree_map::Entry::Vacant(free) = came_from.entry(to) {
                    free.insert(node);
                    next.push(to);
                }
            }
        }
        edge = next;
    }
    let mut node = *came_from.get(&start)?;
    let mut circle = vec![graph[start]];
    while node != start {
        circle.insert(1, graph[node]);
        node = *came_from.get(&node)?;
    }
    Some(circle)
}

/// Kahn's order; of the tasks that could come next, the first by name.
fn order(graph: &DiGraph<TaskId, ()>) -> Vec<TaskId> {
    let needs = |node| graph.neighbors_directed(node, Direction::Incoming).count();
    let mut missing: BTreeMap<NodeIndex, usize> =
        graph.node_indices().map(|node| (node, needs(node))).collect();
    let ready = graph.node_indices().filter(|node| missing[node] == 0);
    let mut ready: BinaryHeap<_> = ready.map(|node| Reverse((&graph[node], node))).collect();
    let mut order = Vec::with_capacity(graph.node_count());
    while let Some(Reverse((task, node))) = ready.pop() {
        order.push(task.clone());
        for after in graph.neighbors(node) {
            if let Some(count) = missing.get_mut(&after) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse((&graph[after], after)));
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOURCES: [&str; 3] = ["prints", "taps", "payments"];

    fn graph(stages: &str) -> Result<Graph, DagError> {
        let spec = Spec::parse(&format!("version: 1\nname: x\nstages:\n{stages}"), "x.yaml")?;
        Graph::from_spec(&spec, &StageForm::as_in(&spec), &SOURCES)
    }

    fn id(text: &str) -> TaskId {
        text.parse().unwrap()
    }

    fn names(tasks: impl IntoIterator<Item = TaskId>) -> Vec<String> {
        tasks.into_iter().map(|task| task.to_string()).collect()
    }

    #[test]
    fn the_built_in_graph_has_eight_tasks_in_a_fixed_order() {
        let spec = Spec::built_in().unwrap();
        let graph = Graph::from_spec(&spec, &StageForm::as_in(&spec), &SOURCES).unwrap();
        let expected = [
            "extract.payments",
            "extract.prints",
            "extract.taps",
            "preprocess.payments",
            "preprocess.prints",
            "preprocess.taps",
            "features",
            "quality",
        ];
        assert_eq!(names(graph.tasks().to_vec()), expected);
        assert_eq!(names(graph.needs(&id("preprocess.taps"))), ["extract.taps"]);
        assert_eq!(names(graph.needs(&id("features"))), expected[3..6]);
        assert_eq!(names(graph.descendants(&id("preprocess.taps"))), ["features", "quality"]);
        assert_eq!(names(graph.ancestors(&id("features"))).len(), 6);
        assert!(graph.needs(&id("nothing")).is_empty());
    }

    #[test]
    fn tasks_for_each_source_may_need_one_for_all() {
        let graph = graph("  b: {each: sources, needs: [a]}\n  a: {}\n").unwrap();
        assert_eq!(names(graph.needs(&id("b.taps"))), ["a"]);
        assert_eq!(graph.descendants(&id("a")).len(), 3);
    }

    #[test]
    fn unknown_names_come_with_a_suggestion() {
        let error = graph("  extract: {}\n  features: {needs: [extrct]}\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`x.yaml` line 5: unknown stage `extrct` in the needs of `features`"
        );
        assert_eq!(error.hint(), Some("did you mean `extract`? known: `extract`, `features`"));
        let spec = Spec::parse("version: 1\nname: x\nstages:\n  qualty: {}\n", "x.yaml").unwrap();
        let built_in = Spec::built_in().unwrap();
        let error = Graph::from_spec(&spec, &StageForm::as_in(&built_in), &SOURCES).unwrap_err();
        assert!(error.hint().unwrap().starts_with("did you mean `quality`?"));
    }

    #[test]
    fn a_stage_that_cannot_run_is_refused() {
        let spec = Spec::parse("version: 1\nname: x\nstages:\n  a: {}\n", "x.yaml").unwrap();
        let forms = [StageForm { name: "a", each: true, needs: &[] }];
        let error = Graph::from_spec(&spec, &forms, &SOURCES).unwrap_err();
        assert!(matches!(error, DagError::Form { line: 4, .. }), "{error}");
    }

    #[test]
    fn a_whole_cycle_is_named() {
        let text = "  c: {needs: [b]}\n  a: {needs: [c]}\n  b: {needs: [a]}\n  d: {needs: [a]}\n";
        let error = graph(text).unwrap_err().to_string();
        assert_eq!(error, "`x.yaml` line 4: stages need each other in a circle: c → a → b → c");
        let error = graph("  a: {needs: [a]}\n").unwrap_err().to_string();
        assert!(error.ends_with("a → a"), "{error}");
    }

    proptest! {
        #[test]
        fn needs_come_first_and_walks_agree(
            edges in prop::collection::btree_set((0..8usize, 0..8usize), 0..20),
            each in prop::collection::vec(any::<bool>(), 8),
        ) {
            let mut text = String::new();
            for (stage, each) in each.iter().enumerate() {
                let needs = edges.iter().filter(|(a, b)| *b == stage && a < b);
                let needs: Vec<String> = needs.map(|(a, _)| format!("s{a}")).collect();
                let each = if *each { "each: sources, " } else { "" };
                text += &format!("  s{stage}: {{{each}needs: [{}]}}\n", needs.join(", "));
            }
            let graph = graph(&text).unwrap();
            let place = |task: &TaskId| graph.tasks().iter().position(|other| other == task);
            let count: usize = each.iter().map(|each| if *each { 3 } else { 1 }).sum();
            prop_assert_eq!(graph.tasks().len(), count);
            for task in graph.tasks() {
                let mut far = BTreeSet::new();
                for need in graph.needs(task) {
                    prop_assert!(place(&need) < place(task));
                    prop_assert!(graph.descendants(&need).contains(task));
                    far.extend(graph.ancestors(&need));
                    far.insert(need);
                }
                prop_assert_eq!(graph.ancestors(task), far);
            }
        }

        #[test]
        fn a_circle_is_always_found_and_closed(
            edges in prop::collection::btree_set((0..6usize, 0..6usize), 1..15),
        ) {
            let mut text = String::new();
            for stage in 0..6 {
                let needs = edges.iter().filter(|(_, b)| *b == stage);
                let needs: Vec<String> = needs.map(|(a, _)| format!("s{a}")).collect();
                text += &format!("  s{stage}: {{needs: [{}]}}\n", needs.join(", "));
            }
            // Reachability by brute force says whether there is a circle at all.
            let mut reach = edges.clone();
            for _ in 0..6 {
                let more: Vec<_> = reach
                    .iter()
                    .flat_map(|(a, b)| reach.iter().filter(move |(c, _)| b == c).map(move |(_, d)| (*a, *d)))
                    .collect();
                reach.extend(more);
            }
            let has_circle = (0..6).any(|stage| reach.contains(&(stage, stage)));
            match graph(&text) {
                Ok(_) => prop_assert!(!has_circle),
                Err(DagError::Cycle { cycle, .. }) => {
                    let names: Vec<&str> = cycle.split(" → ").collect();
                    prop_assert_eq!(names.first(), names.last());
                    let number = |name: &str| name[1..].parse::<usize>().unwrap();
                    for pair in names.windows(2) {
                        prop_assert!(edges.contains(&(number(pair[0]), number(pair[1]))));
                    }
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
