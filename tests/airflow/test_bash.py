"""The bash DAG, run by Airflow with the real program on the bundled example."""

from __future__ import annotations

import json

from conftest import DAGS, ROOT, command, mp


def test_commands_hold_no_value_and_the_environment_holds_them_all(bag, graph):
    for task in bag.dags["mp_carousel_bash"].tasks:
        stage, _, source = task.task_id.partition(".")
        source = f" --source {source}" if source else ""
        assert task.bash_command.startswith(f"exec mp {stage}{source} --airflow ")
        assert "{" not in task.bash_command.replace("${MP_PROJECT:-$MP_DAG_PROJECT}", "")
        assert task.append_env is True
        assert set(task.env) == {"MP_AS_OF", "MP_DAG_CONFIG", "MP_DAG_FORCE", "MP_DAG_PROJECT"}


def test_a_run_gives_the_bytes_of_mp_and_another_run_computes_nothing(project, graph, tmp_path):
    own = tmp_path / "own"
    sets = [
        "--set",
        f"data_paths.output={own}/output",
        "--set",
        f"data_paths.processed={own}/processed",
    ]
    sets += [
        "--set",
        f"quality.quality_report_path={own}/report",
        "--set",
        f"store.path={own}/store",
    ]
    mp("run", "--all", "--project", ROOT, "--config", ROOT / "config/example.yaml", *sets,
       "--set", f"logging.log_dir={own}/logs")  # fmt: skip
    expected = (own / "output/training_dataset.parquet").read_bytes()

    first = project.airflow(hour=2)
    assert first.code == 0, first.output
    assert first.states() == dict.fromkeys(graph, "success"), first.output
    assert project.gold() == expected
    success = json.loads((project.path / "data/output/2020-11-30/_SUCCESS.json").read_text())
    assert success["as_of"] == "2020-12-01T00:00:00Z"
    manifests = project.manifests()
    assert set(manifests) == set(graph)
    for task in graph:
        document = first.xcoms[task]
        assert (document["task"], document["exit_code"]) == (task, 0), document
        assert document["verdict"] == "done", document

    # Another run of the same day.
    second = project.airflow(hour=3)
    assert second.code == 0, second.output
    assert second.states() == dict.fromkeys(graph, "success"), second.output
    assert project.manifests() == manifests
    assert project.gold() == expected
    for task in graph:
        assert second.xcoms[task]["verdict"] == "up_to_date", second.xcoms[task]

    # The form: another day, in folders of its own.
    other = project.airflow(hour=4, conf={"as_of": "2020-11-29"})
    assert other.code == 0, other.output
    assert project.gold("2020-11-29") != expected
    assert project.gold() == expected and project.manifests() == manifests

    # The form: all of it again, and the same bytes.
    forced = project.airflow(hour=5, conf={"force": True})
    assert forced.code == 0, forced.output
    assert project.gold() == expected
    again = project.manifests()
    assert all(again[task] != manifests[task] for task in graph)


def test_a_broken_source_fails_its_extract_and_the_repair_runs_what_follows(project, graph):
    raw = project.path / "data/raw/prints.json"
    good = raw.read_bytes()
    raw.write_bytes(b"{broken\n" * 5000 + good)
    failed = project.airflow(hour=2)
    assert failed.code == 1, failed.output
    after = {"preprocess.prints", "features", "quality"}
    expected = dict.fromkeys(graph, "success")
    expected |= dict.fromkeys(after, "upstream_failed") | {"extract.prints": "failed"}
    assert failed.states() == expected, failed.output
    # No second try, and the reason is where an operator looks for it.
    assert failed.tasks["extract.prints"][1] == 1
    for words in ("json.malformed", "were rejected", "mp-exit=4", "no retry can mend it"):
        assert words in failed.output, failed.output
    done = project.manifests()

    raw.write_bytes(good)
    repaired = project.airflow(hour=3)
    assert repaired.code == 0, repaired.output
    assert repaired.states() == dict.fromkeys(graph, "success"), repaired.output
    now = project.manifests()
    computed = {task for task in graph if now[task] != done.get(task)}
    assert computed == after | {"extract.prints"}


def test_airflow_refuses_what_the_form_does_not_allow(project):
    for conf in ({"config": "$(touch mark)"}, {"as_of": "2020-11-30; touch mark"}):
        refused = project.airflow(hour=6, conf=conf)
        assert refused.code != 0 and "ParamValidationError" in refused.output, refused.output
        assert refused.tasks == {}


def test_a_value_cannot_become_a_command_even_if_it_got_through(bag, project):
    task = bag.dags["mp_carousel_bash"].get_task("features")
    hostile = f"$(touch '{project.path}/mark')`touch '{project.path}/mark'`; touch mark\" 'x"
    for name in task.env:
        env = {"MP_AS_OF": "2020-11-30", "MP_DAG_CONFIG": "airflow", "MP_DAG_FORCE": "false",
               "MP_DAG_PROJECT": str(project.path), name: hostile}  # fmt: skip
        done = command("bash", "-c", task.bash_command, env=env, cwd=project.path)
        assert done.returncode not in (0, 127), done.stdout
        assert not (project.path / "mark").exists()


def test_the_dag_folder_holds_nothing_else_that_airflow_would_read():
    assert {path.name for path in DAGS.glob("*.py")} == {
        "mp_carousel_bash.py",
        "mp_carousel_kubernetes.py",
    }
