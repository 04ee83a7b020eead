"""Both DAG files parse, cleanly and fast, and are the graph of mp."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
import yaml
from conftest import DAGS, OPERATORS, ROOT, command

FILES = [DAGS / f"mp_carousel_{operator}.py" for operator in OPERATORS]


def test_both_files_parse_without_errors_or_warnings(bag):
    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    assert sorted(bag.dags) == ["mp_carousel_bash", "mp_carousel_kubernetes"]


def test_airflow_lists_no_import_error():
    done = command("airflow", "dags", "reserialize")
    assert done.returncode == 0, done.stdout
    done = command("airflow", "dags", "list-import-errors")
    assert done.returncode == 0 and "No data found" in done.stdout, done.stdout


@pytest.mark.parametrize("file", FILES, ids=OPERATORS)
def test_a_deprecation_is_an_error_when_the_file_is_read(file, python):
    ours = "error:::mp_carousel|__main__"
    done = command(python, "-W", "error::DeprecationWarning:__main__", "-W", ours, file)
    assert done.returncode == 0, done.stdout
    assert "Warning" not in done.stdout, done.stdout


def test_ruff_finds_nothing_for_airflow_3_and_nothing_else():
    for more in (
        ["--select", "AIR,E,F,W,I,B,UP", "--ignore", "E501"],
        ["--select", "AIR", "--preview"],
    ):
        done = command(
            "ruff", "check", "--isolated", "--no-cache", "--target-version", "py310", *more, *FILES
        )
        assert done.returncode == 0, done.stdout
    done = command(
        "ruff",
        "format",
        "--isolated",
        "--no-cache",
        "--check",
        "--diff",
        "--line-length",
        100,
        *FILES,
    )
    assert done.returncode == 0, done.stdout


def test_every_task_of_the_graph_is_there_with_the_same_edges(dag, graph):
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == graph
    for task in dag.tasks:
        assert task.downstream_task_ids == {
            name for name, needs in graph.items() if task.task_id in needs
        }


def test_the_settings_are_those_of_the_graph_file(dag):
    settings = yaml.safe_load((DAGS / "carousel.yaml").read_text())["airflow"]
    assert type(dag.timetable).__name__ == "CronTriggerTimetable"
    assert dag.timetable.expression == settings["schedule"]
    assert dag.start_date == datetime.combine(
        settings["start_date"], datetime.min.time(), timezone.utc
    )
    assert set(settings["tags"]) <= set(dag.tags)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    for task in dag.tasks:
        assert task.retries == settings["retries"]
        assert task.retry_delay == timedelta(minutes=settings["retry_delay_minutes"])
        assert task.execution_timeout == timedelta(minutes=settings["timeout_minutes"])
        assert task.owner == settings["owner"]
        assert task.pool == (settings["pool"] or "default_pool")
        assert type(task.retry_policy).__name__ == "MpExitCodes"


def test_the_last_task_alone_publishes(dag):
    outlets = {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks}
    assert outlets.pop("quality") == ["mp_carousel_gold"]
    assert not any(outlets.values())


def test_the_form_takes_what_it_should_and_nothing_else(dag):
    from airflow.sdk.exceptions import ParamValidationError

    good = {
        "as_of": [None, "2020-11-30", "2020-12-01T00:00:00Z"],
        "force": [True, False],
        "config": ["airflow", "my-config_2"],
    }
    bad = {
        "as_of": ["", "today", "2020-11-30\n", "2020-11-30; rm", "$(id)", "٢٠٢٠-11-30", 1],
        "force": ["yes", 1, None],
        "config": ["", "../x", "a/b", ".x", "a b", "airflow\n", "a.yaml", "$(id)", None],
    }
    for name in ("as_of", "force", "config"):
        param = dag.params.get_param(name)
        assert param.schema["title"] and param.description
        for value in good[name]:
            assert param.resolve(value) == value
        for value in bad[name]:
            with pytest.raises(ParamValidationError):
                param.resolve(value)


def test_the_docs_name_every_exit_code(dag):
    for code in (1, 2, 3, 4, 5, 6, 70, 75, 130):
        assert f"\n| {code}" in dag.doc_md
    for word in ("clear", "backfill create", "_SUCCESS.json", "mp status", dag.dag_id):
        assert word in dag.doc_md


# A DAG file that imports the same operator and defines one task.
PLAIN = """
from __future__ import annotations
from datetime import datetime, timezone
from {module} import {operator}
from airflow.sdk import DAG

with DAG(dag_id="plain", schedule=None, start_date=datetime(2020, 1, 1, tzinfo=timezone.utc)):
    {operator}(task_id="one", {argument})
"""
OPERATOR = {
    "bash": ("airflow.providers.standard.operators.bash", "BashOperator", "bash_command='true'"),
    "kubernetes": (
        "airflow.providers.cncf.kubernetes.operators.pod",
        "KubernetesPodOperator",
        "image='x'",
    ),
}
PARSE = """
import runpy, sys, time
start = time.process_time()
runpy.run_path(sys.argv[1])
print("seconds", time.process_time() - start)
"""


@pytest.mark.parametrize("operator", OPERATORS)
def test_parsing_costs_no_more_than_the_operator_does(operator, tmp_path, python):
    module, name, argument = OPERATOR[operator]
    plain = tmp_path / "plain.py"
    plain.write_text(PLAIN.format(module=module, operator=name, argument=argument))

    def seconds(file):
        done = command(python, "-c", PARSE, file, cwd=ROOT)
        assert done.returncode == 0, done.stdout
        return float(done.stdout.rsplit("seconds", 1)[1])

    # The fastest of several is what it costs; they take turns, for the machine has its moods.
    pairs = [(seconds(plain), seconds(DAGS / f"mp_carousel_{operator}.py")) for _ in range(4)]
    ours, theirs = min(pair[1] for pair in pairs), min(pair[0] for pair in pairs)
    print(f"{operator}: {ours:.2f} s, one task {theirs:.2f} s, ratio {ours / theirs:.3f}")
    assert ours <= theirs * 1.2, pairs
