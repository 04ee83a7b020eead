"""The bash DAG under a running scheduler: `airflow standalone` with LocalExecutor.

The DAG file of `dags/` runs unchanged, by its schedule, in a backfill and by hand; the retries run
in DAG files that `mp airflow dag` has written, with two times shortened (`quick`). All share one
project folder, as a worker has one; what must not meet has a config with folders of its own.

Does not know several schedulers or machines, PostgreSQL, a retry delay of minutes (only that it was
set) and pods.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import signal
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise

import pytest
from conftest import DAGS, ROOT, mp
from standalone import Process, Standalone

DAG = "mp_carousel_bash"
RAW = ROOT / "data/example/raw"
KINDS = ("processed", "output", "quality_reports")
# A day for the retries.
DAY = "2020-11-30"
RETRIES = ("held", "late", "broken", "killed")
AFTER_PRINTS = {"preprocess.prints", "features", "quality"}


def quick(name, folder):
    """The DAG file of a graph with that name: seconds instead of minutes between two tries, and
    five seconds instead of sixty for a lock. Its config has the same name."""
    (folder / "dags").mkdir(parents=True)
    text = (ROOT / "dags/carousel.yaml").read_text()
    for old, new in {
        "name: carousel": f"name: {name}",
        'schedule: "0 2 * * *"': "schedule: null",
        "retry_delay_minutes: 5": "retry_delay_minutes: 1",
        "config: airflow": f"config: {name}",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "dags/carousel.yaml").write_text(text)
    text = mp("airflow", "dag", "--operator", "bash", "--project", folder)
    for old, new in {
        '"retry_delay": timedelta(minutes=1)': '"retry_delay": timedelta(seconds=5)',
        "{arguments} --airflow": "{arguments} --airflow --lock-timeout 5s",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def config_of(name):
    """A config like `config/airflow.yaml`, with raw files, results and store of its own."""
    return f"""\
data_paths:
  raw: data/{name}/raw
  processed: data/{name}/processed/{{as_of}}
  output: data/{name}/output/{{as_of}}
quality:
  quality_report_path: data/{name}/quality_reports/{{as_of}}
store:
  path: data/{name}/store
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project folder of the worker."""
    path = tmp_path_factory.mktemp("scheduler") / "a project"
    for folder in ("dags", "config"):
        shutil.copytree(ROOT / folder, path / folder, ignore=shutil.ignore_patterns("*.py*"))
    shutil.copytree(RAW, path / "data/raw")
    for name in RETRIES:
        (path / f"config/{name}.yaml").write_text(config_of(name))
        shutil.copytree(RAW, path / "data" / name / "raw")
    return path


@pytest.fixture(scope="module")
def airflow(project, database):
    """A running Airflow with the DAG of the repository and those for the retries."""
    dags = project.parent / "dags"
    dags.mkdir()
    shutil.copy(DAGS / f"{DAG}.py", dags)
    for name in RETRIES:
        text = quick(name, project.parent / "made" / name)
        (dags / f"mp_{name}_bash.py").write_text(text)
    env = {"MP_PROJECT": str(project)}
    with Standalone(project.parent / "home", dags, env) as airflow:
        airflow.switch_on(DAG, *(f"mp_{name}_bash" for name in RETRIES))
        yield airflow


@pytest.fixture(scope="module")
def scheduled(airflow):
    """The run that the schedule has made by itself, as soon as the DAG was switched on."""
    airflow.until("the schedule has made a run", lambda: airflow.runs(DAG, "scheduled"))
    run = airflow.runs(DAG, "scheduled")[0]
    run.ended()
    return run


@pytest.fixture(scope="module")
def backfilled(airflow, scheduled, bag):
    """Three days, with the very command that the DAG's own page names."""
    [command] = re.findall("`airflow (backfill create [^`]*)`", bag.dags[DAG].doc_md)
    airflow.backfill(DAG, command.split())
    days = ("2020-11-28", "2020-11-29", "2020-11-30")
    runs = dict(zip(days, airflow.runs(DAG, "backfill"), strict=True))
    for run in runs.values():
        run.ended()
    return runs


@pytest.fixture
def plain(tmp_path):
    """What `mp run` makes of a day in a fresh project folder."""

    def run(day, raw=RAW):
        path = tmp_path / f"plain {day}"
        shutil.copytree(ROOT / "config", path / "config")
        shutil.copytree(raw, path / "data/raw")
        mp("run", "--all", "--project", path, "--config", path / "config/airflow.yaml",
           "--as-of", day)  # fmt: skip
        return artifacts(path / "data", day)

    return run


def artifacts(data, day):
    """The bytes of each artifact of a day: Silver, rejects, Gold, `_SUCCESS.json` and report."""
    found = {}
    for kind in KINDS:
        for path in sorted((data / kind / day).rglob("*")):
            name = path.relative_to(data)
            if path.is_file() and "_manifests" not in name.parts:
                found[str(name)] = path.read_bytes()
    names = {name.rpartition("/")[2] for name in found}
    assert {"training_dataset.parquet", "_SUCCESS.json", "quality_report.json"} <= names, names
    assert {"prints.parquet", "taps.parquet", "payments.parquet", "prints.csv"} <= names, names
    return found


def footprint(data):
    """Everything below the data folder, manifests and store too: its hash and when it was written.

    Without the files that mp only locks.
    """
    found = {}
    for path in sorted(data.rglob("*")):
        if path.is_file() and path.suffix != ".lock":
            digest = sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(data))] = (digest, path.stat().st_mtime_ns)
    return found


def verdicts(run):
    """What each task says that it has done."""
    return {task: run.xcom(task)["verdict"] for task in run.tasks()}


def assert_one_try(run, tasks):
    """Each of these tasks has succeeded at once."""
    assert {task: run.tries(task) for task in tasks} == {task: ["success"] for task in tasks}


def test_the_schedule_runs_for_yesterday_and_4_is_not_retried(scheduled, airflow):
    """The rows of the example are years older than any of yesterday: too many are rejected."""
    due = airflow.api("GET", scheduled.path)["run_after"]
    until = f"{datetime.fromisoformat(due).date()}T00:00:00Z"
    assert scheduled.state() == "failed"
    for source in ("prints", "taps", "payments"):
        text = scheduled.text(f"extract.{source}", 1)
        assert f"as_of={until}" in text and "mp-exit=4" in text, text
        assert "mp exit 4: no retry can mend it" in text, text
        assert scheduled.tries(f"extract.{source}") == ["failed"]


def test_a_backfill_of_three_days_is_three_correct_runs_one_at_a_time(
    backfilled, project, plain, graph
):
    spans = []
    for day, run in backfilled.items():
        assert run.states() == dict.fromkeys(graph, "success"), run
        assert verdicts(run) == dict.fromkeys(graph, "done"), run
        assert artifacts(project / "data", day) == plain(day)
        spans.append(sorted(run.spans()))
    spans.sort()
    for before, after in pairwise(spans):
        assert max(end for _, end in before) <= min(start for start, _ in after)
    golds = {artifacts(project / "data", day)[f"output/{day}/training_dataset.parquet"]
             for day in backfilled}  # fmt: skip
    assert len(golds) == 3


def test_a_rerun_of_one_day_changes_no_byte(backfilled, project, graph):
    before = footprint(project / "data")
    run = backfilled["2020-11-29"]
    run.clear(*graph)
    assert run.ended() == "success"
    assert verdicts(run) == dict.fromkeys(graph, "up_to_date")
    assert all(run.tries(task) == ["success", "success"] for task in graph)
    assert footprint(project / "data") == before


def test_75_is_retried_and_succeeds_when_the_lock_is_free(airflow, project, plain, graph):
    data = project / "data/held"
    manifests = data / "processed" / DAY / "_manifests"
    manifests.mkdir(parents=True)
    holder = {"pid": 4194999, "host": "otherhost", "since": "2026-11-23T10:00:00Z"}
    with (manifests / "extract.prints.lock").open("w") as lock:
        json.dump(holder, lock)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = airflow.trigger("mp_held_bash", as_of=DAY)
        run.until(extract__prints="up_for_retry")
    assert run.ended() == "success", run.states()
    assert run.states() == dict.fromkeys(graph, "success")
    assert len(run.tries("extract.prints")) == 2
    text = run.text("extract.prints", 1)
    assert "mp-exit=75" in text and "otherhost" in text, text
    assert_one_try(run, graph.keys() - {"extract.prints"})
    assert artifacts(data, DAY) == plain(DAY)


def test_a_late_file_is_waited_for_and_the_others_go_on(airflow, project, plain, graph):
    data = project / "data/late"
    (data / "raw/prints.json").unlink()
    run = airflow.trigger("mp_late_bash", as_of=DAY)
    run.until(extract__prints="up_for_retry", preprocess__taps="success",
              preprocess__payments="success")  # fmt: skip
    delay, reason = run.retry("extract.prints")
    assert timedelta(seconds=delay) == timedelta(minutes=30)
    assert reason == "mp exit 3: an input is missing, perhaps late"
    states = run.states()
    assert all(states[task] is None for task in AFTER_PRINTS), states
    assert run.state() == "running"

    # It has come, and somebody clears the task rather than wait.
    shutil.copy(RAW / "prints.json", data / "raw")
    run.clear("extract.prints")
    assert run.ended() == "success", run.states()
    assert run.states() == dict.fromkeys(graph, "success")
    assert_one_try(run, graph.keys() - AFTER_PRINTS - {"extract.prints"})
    assert artifacts(data, DAY) == plain(DAY)


def test_4_fails_at_once_and_clearing_it_after_the_repair_runs_the_rest(
    airflow, project, plain, graph
):
    data = project / "data/broken"
    raw = data / "raw/prints.json"
    raw.write_bytes(b"{broken\n" * 5000 + raw.read_bytes())
    run = airflow.trigger("mp_broken_bash", as_of=DAY)
    assert run.ended() == "failed"
    expected = dict.fromkeys(graph, "success") | dict.fromkeys(AFTER_PRINTS, "upstream_failed")
    assert run.states() == expected | {"extract.prints": "failed"}
    assert run.tries("extract.prints") == ["failed"]

    shutil.copy(RAW / "prints.json", raw)
    run.clear("extract.prints")
    assert run.ended() == "success", run.states()
    assert_one_try(run, graph.keys() - AFTER_PRINTS - {"extract.prints"})
    assert artifacts(data, DAY) == plain(DAY)


def test_a_task_that_was_killed_is_retried_and_ends_with_the_same_bytes(
    airflow, project, plain, graph
):
    """First mp itself is killed, as for lack of memory; then Airflow's process above it."""
    data = project / "data/killed"
    shutil.rmtree(data / "raw")
    # So many rows that it is met at work.
    mp("synth", data / "raw", "--prints", 2_000_000, "--taps", 2000, "--payments", 2000)
    run = airflow.trigger("mp_killed_bash", as_of=DAY)

    first = at_work(airflow, data)
    first.kill(signal.SIGKILL)
    run.until(extract__prints="up_for_retry")
    assert not (data / "processed" / DAY / "prints.parquet").exists()

    second = at_work(airflow, data, after=first)
    second.parent().kill(signal.SIGKILL)
    # It has lost its parent and whoever read its output; it may still end its work.
    second.kill(signal.SIGCONT)

    assert run.ended() == "success", run.states()
    assert run.states() == dict.fromkeys(graph, "success")
    assert len(run.tries("extract.prints")) == 3
    assert_one_try(run, graph.keys() - {"extract.prints"})
    assert artifacts(data, DAY) == plain(DAY, data / "raw")


def at_work(airflow, data, after=None):
    """The process of `extract.prints`, stopped while it holds the lock and writes."""
    lock = data / "processed" / DAY / "_manifests/extract.prints.lock"

    def found():
        try:
            process = Process(json.loads(lock.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None
        new = after is None or process.pid != after.pid
        writes = any((data / "store/tmp").glob(f"*-{process.pid}-*"))
        return process if new and writes and process.kill(signal.SIGSTOP) else None

    process = airflow.until("extract.prints writes", found, pause=0.002)
    assert process.arguments()[:4] == ["mp", "extract", "--source", "prints"]
    assert not (lock.parent / "extract.prints.json").exists(), "it has ended: give it more rows"
    return process


def test_runs_at_the_same_time_in_one_project_folder_are_correct_too(
    airflow, backfilled, project, plain, graph
):
    """Without `--max-active-runs 1` the runs of a backfill overlap, whatever the DAG says; a run by
    hand for one of its days comes between. Locks keep them apart."""
    days = {f"2020-11-{day}": f"backfill__2020-11-{day + 1}T02:00:00+00:00" for day in (26, 27)}
    done = artifacts(project / "data", "2020-11-28")
    command = "--from-date 2020-11-27 --to-date 2020-11-29T23:59 --reprocess-behavior completed"
    by_hand = airflow.trigger(DAG, as_of="2020-11-27")
    airflow.backfill(DAG, f"backfill create --dag-id {DAG} {command}".split())
    found = {run.run_id: run for run in airflow.runs(DAG, "backfill")}
    again = backfilled["2020-11-28"]
    for run in (by_hand, again, *(found[run_id] for run_id in days.values())):
        assert run.ended() == "success", (run, run.states())
    (start, end), (other_start, other_end) = (found[run_id].span() for run_id in days.values())
    assert start < other_end and other_start < end
    for day in days:
        assert artifacts(project / "data", day) == plain(day)
    # The one day that was there already.
    assert verdicts(again) == dict.fromkeys(graph, "up_to_date")
    assert artifacts(project / "data", "2020-11-28") == done
