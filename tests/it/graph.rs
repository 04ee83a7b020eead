//! The graph: how it is shown, and what a graph of one's own may not be.

use crate::project::Project;

#[test]
fn the_graph_is_shown_in_each_format() {
    let project = Project::empty();
    let text = |format: &str| project.mp(&["graph", "--format", format]).success().stdout;
    for format in ["ascii", "dot", "mermaid", "json"] {
        let shown = text(format);
        for word in ["extract", "preprocess", "features", "quality"] {
            assert!(shown.contains(word), "{format}: {word} in {shown}");
        }
    }
    assert!(text("dot").starts_with("digraph"));
    assert!(text("dot").contains("->"));
    let mermaid = text("mermaid");
    assert!(mermaid.starts_with("flowchart") || mermaid.starts_with("graph"), "{mermaid}");
    assert!(serde_json::from_str::<serde_json::Value>(&text("json")).is_ok());
    project.mp(&["graph", "--format", "svg"]).fails(2).says(&["mermaid"]);
}

fn with_graph(stages: &str) -> Project {
    let project = Project::november();
    let text = format!("version: 1\nname: carousel\nstages:\n{stages}");
    project.write("dags/carousel.yaml", text);
    project
}

#[test]
fn the_graph_in_the_project_is_the_one_that_runs() {
    let project =
        with_graph("  extract: {each: sources}\n  preprocess: {each: sources, needs: [extract]}\n");
    project.mp(&["run", "--all"]).success();
    let done: Vec<_> = project.view().runs().into_keys().collect();
    assert_eq!(done.len(), 6, "{done:?}");
    let shown = project.mp(&["graph"]).success();
    assert!(!shown.stdout.contains("quality"), "{shown}");
}

#[test]
fn a_graph_that_cannot_run_is_refused_before_anything_runs() {
    let extract = "  extract: {each: sources}\n";
    let preprocess = "  preprocess: {each: sources, needs: [extract]}\n";
    let features = "  features: {needs: [preprocess]}\n";
    for (stages, says) in [
        (vec!["  extract: {}\n"], ["line 4", "`extract`", "each: sources"]),
        (
            vec![extract, "  preprocess: {each: sources}\n"],
            ["line 5", "`preprocess`", "needs: [extract]"],
        ),
        (
            vec![extract, preprocess, "  features: {each: sources, needs: [preprocess]}\n"],
            ["line 6", "`features`", "needs: [preprocess]"],
        ),
        (
            vec![extract, preprocess, features, "  quality: {needs: [features]}\n"],
            ["line 7", "`quality`", "needs: [extract, preprocess, features]"],
        ),
        (vec![], ["line 3", "no stage", "stages"]),
    ] {
        let project = with_graph(&stages.concat());
        for command in [["config", "check"], ["run", "--all"]] {
            let outcome = project.mp(&command).fails(2);
            outcome.says(&["dags/carousel.yaml"]).says(&says);
        }
        assert!(project.view().runs().is_empty(), "nothing was run");
    }
}

#[test]
fn a_cycle_is_a_configuration_error_that_names_all_of_it() {
    let project = with_graph(
        "  extract: {each: sources, needs: [quality]}\n  \
         preprocess: {each: sources, needs: [extract]}\n  \
         features: {needs: [preprocess]}\n  quality: {needs: [features]}\n",
    );
    let outcome = project.mp(&["run", "--all"]).fails(2);
    outcome.says(&["carousel.yaml", "extract", "preprocess", "features", "quality", "→"]);
}

#[test]
fn an_unknown_name_is_a_configuration_error_with_a_suggestion() {
    let stages = "  extract: {each: sources}\n  preproces: {each: sources, needs: [extract]}\n";
    with_graph(stages).mp(&["plan"]).fails(2).says(&["carousel.yaml", "preproces", "preprocess"]);
    let stages = "  extract: {each: sources}\n  preprocess: {each: sources, needs: [extrakt]}\n";
    with_graph(stages).mp(&["plan"]).fails(2).says(&["carousel.yaml", "extrakt", "extract"]);
    let stages = "  extract: {each: sources}\n  features: {need: [extract]}\n";
    with_graph(stages).mp(&["plan"]).fails(2).says(&["carousel.yaml", "line 5", "needs"]);
}

#[test]
fn a_stage_declared_twice_is_a_configuration_error() {
    let stages = "  extract: {each: sources}\n  extract: {each: sources}\n";
    with_graph(stages).mp(&["plan"]).fails(2).says(&["carousel.yaml", "extract"]);
}
