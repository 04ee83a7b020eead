"""Airflow's home, a project folder and DAGs for every test.

`tests/airflow/run` sets AIRFLOW_HOME to an empty folder and puts `mp` on the PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "dags"
OPERATORS = ("bash", "kubernetes")

if "AIRFLOW_HOME" not in os.environ:
    raise SystemExit("start these tests with tests/airflow/run")

# Airflow reads them when it is imported, so they are set before any test imports it.
os.environ.update(
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(DAGS),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW_CONN_KUBERNETES_DEFAULT="kubernetes://",
)


def command(*args, env=None, **more):
    """Runs a program and returns what became of it, both streams in one."""
    env = {**os.environ, **(env or {})}
    return subprocess.run(
        [str(arg) for arg in args],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        **more,
    )


def mp(*args, **more):
    """Runs the real program, which must succeed."""
    done = command("mp", *args, **more)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session", autouse=True)
def database():
    """The metadata database of this session."""
    done = command("airflow", "db", "migrate")
    assert done.returncode == 0, done.stdout
    return Path(os.environ["AIRFLOW_HOME"]) / "airflow.db"


@pytest.fixture(scope="session")
def bag(database):
    """Both DAG files as Airflow reads them."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(DAGS))


@pytest.fixture(params=OPERATORS)
def dag(request, bag):
    """Each of the two DAGs."""
    return bag.dags[f"mp_carousel_{request.param}"]


@pytest.fixture(scope="session")
def graph():
    """What each task needs, as mp says it."""
    tasks = json.loads(mp("graph", "--json", "--project", ROOT))["tasks"]
    return {task["task"]: set(task["needs"]) for task in tasks}


def module_of(dag_file):
    """The DAG file as a plain module, with its functions and classes."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(Path(dag_file).stem, dag_file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Project:
    """A project folder with the raw files of the example, and runs of the DAG in it."""

    DAG_ID = "mp_carousel_bash"

    def __init__(self, path, database):
        self.path, self.database = path, database
        for folder in ("dags", "config"):
            shutil.copytree(ROOT / folder, path / folder, ignore=shutil.ignore_patterns("*.py*"))
        shutil.copytree(ROOT / "data/example/raw", path / "data/raw")

    def airflow(self, hour, conf=None):
        """`airflow dags test` for 30 November 2020; each run needs an hour of its own."""
        logical_date = f"2020-12-01T{hour:02}:00:00+00:00"
        conf = ["--conf", json.dumps(conf)] if conf else []
        env = {"MP_PROJECT": str(self.path)}
        done = command("airflow", "dags", "test", self.DAG_ID, logical_date, *conf, env=env)
        return Run(self, done, logical_date)

    def manifests(self, day="2020-11-30"):
        """The run part of each task's manifest: it changes only when the task computes."""
        found = {}
        for folder in ("processed", "output", "quality_reports"):
            for path in sorted((self.path / "data" / folder / day / "_manifests").glob("*.json")):
                found[path.stem] = json.loads(path.read_text())["run"]
        return found

    def gold(self, day="2020-11-30"):
        """The bytes of Gold."""
        return (self.path / "data/output" / day / "training_dataset.parquet").read_bytes()


class Run:
    """What became of a run: exit code, output, and what the database holds of it."""

    def __init__(self, project, done, logical_date):
        self.code, self.output = done.returncode, done.stdout
        self.tasks, self.xcoms = {}, {}
        moment = logical_date[:19].replace("T", " ")
        with sqlite3.connect(project.database) as database:
            found = database.execute(
                "SELECT run_id FROM dag_run WHERE dag_id = ? AND logical_date LIKE ?",
                (project.DAG_ID, f"{moment}%"),
            ).fetchall()
            if not found:
                return  # Airflow has refused to make the run.
            [(run_id,)] = found
            of_run = "FROM {} WHERE dag_id = ? AND run_id = ?"
            rows = database.execute(
                f"SELECT task_id, state, try_number {of_run.format('task_instance')}",
                (project.DAG_ID, run_id),
            )
            for task, state, tries in rows:
                self.tasks[task] = (state, tries)
            rows = database.execute(
                f"SELECT task_id, value {of_run.format('xcom')} AND key = 'return_value'",
                (project.DAG_ID, run_id),
            )
            for task, value in rows:
                value = json.loads(value)
                self.xcoms[task] = json.loads(value) if isinstance(value, str) else value

    def states(self):
        """The state of each task."""
        return {task: state for task, (state, _) in self.tasks.items()}


@pytest.fixture
def project(tmp_path, database):
    """A fresh project folder."""
    return Project(tmp_path / "a project", database)


@pytest.fixture(scope="session")
def python():
    """The Python of this environment."""
    return sys.executable
