//! `mp airflow dag`: the committed DAG files are what the program writes, and writing one is safe.

use std::path::Path;

use crate::project::Project;

const OPERATORS: [&str; 2] = ["bash", "kubernetes"];

/// A project with the graph file of the repository.
fn project() -> Project {
    let project = Project::empty();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let graph = std::fs::read(repository.join("dags/carousel.yaml")).expect("the graph");
    project.write("dags/carousel.yaml", graph);
    project
}

#[test]
fn the_committed_dag_files_are_those_that_mp_writes() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    for operator in OPERATORS {
        let path = repository.join(format!("dags/mp_carousel_{operator}.py"));
        let committed = std::fs::read_to_string(&path).expect("the committed file");
        let written = project().mp(&["airflow", "dag", "--operator", operator]).success();
        let how = format!("mp airflow dag --operator {operator} --out {}", path.display());
        assert!(written.stdout == committed, "out of date; make it anew with `{how}`");
    }
}

#[test]
fn a_dag_file_is_written_whole_where_it_is_wanted() {
    let project = project();
    for operator in OPERATORS {
        let printed = project.mp(&["airflow", "dag", "--operator", operator]).success();
        let out = ["airflow", "dag", "--operator", operator, "--out", "made/dag.py"];
        let dry = project.mp(&[&out[..], &["--dry-run"]].concat()).success();
        assert!(dry.stdout.contains("would write"), "{dry}");
        assert_eq!(project.path("made/dag.py").exists(), operator == OPERATORS[1]);
        let wrote = project.mp(&out).success();
        assert!(wrote.stdout.contains("mp_carousel"), "{wrote}");
        assert_eq!(project.text("made/dag.py"), printed.stdout);
        let names: Vec<_> = std::fs::read_dir(project.path("made")).expect("a folder").collect();
        assert_eq!(names.len(), 1, "nothing else is left there");
    }
}

#[test]
fn the_json_document_holds_the_text_or_says_where_it_went() {
    let project = project();
    let document = project.mp(&["airflow", "dag", "--operator", "bash", "--json"]).success();
    let document = document.json("airflow-dag");
    let printed = project.mp(&["airflow", "dag", "--operator", "bash"]).success();
    assert_eq!(document["text"], printed.stdout);
    assert_eq!(document["dag_id"], "mp_carousel_bash");
}

#[test]
fn an_operator_that_there_is_not_is_wrong_usage() {
    let failed = project().mp(&["airflow", "dag", "--operator", "docker"]).fails(2);
    assert!(failed.stderr.contains("bash") && failed.stderr.contains("kubernetes"), "{failed}");
}
