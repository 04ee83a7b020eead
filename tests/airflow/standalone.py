"""`airflow standalone` for a test: scheduler, LocalExecutor and API server, on loopback alone.

What a person does by hand goes through the public API or the command line; what became of it is
asked of the API, and the log of a try is read from its file. Knows nothing of mp.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime
from pathlib import Path

# So long may anything take before a test gives up and shows the log. Nothing is ever so slow.
PATIENCE = 240
ENDED = {"success", "failed"}


class Standalone:
    """A running `airflow standalone` with a home of its own."""

    def __init__(self, home, dags, env):
        self.home, self.log = Path(home), Path(home) / "standalone.log"
        self.home.mkdir()
        port, worker_logs, trigger_logs = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self.env = {
            **os.environ,
            **env,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "patient_sqlite.SYNC",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC": "patient_sqlite.ASYNC",
            "PYTHONPATH": str(Path(__file__).parent),
            # As they are by default, but sooner.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        self.token = None

    def __enter__(self):
        """Starts it and waits until each of its parts says that it is well."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["airflow", "standalone"],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.until("it is up", self._is_up)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """Ends all its processes: those of its session, and what they have started in others."""
        mark = f"AIRFLOW_HOME={self.home}"
        session = self.process.pid

        def left():
            return [one for one in processes()
                    if one.session() == session or mark in one.environment()]  # fmt: skip

        while found := left():
            for process in found:
                process.kill(signal.SIGKILL)
            self.process.poll()
            time.sleep(0.05)

    def _is_up(self):
        try:
            health = self._ask("GET", "/api/v2/monitor/health", token=False)
            self.token = self.token or self._ask("GET", "/auth/token", token=False)["access_token"]
        except OSError:
            return False
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return all(health[part]["status"] == "healthy" for part in parts)

    def until(self, what, reached, pause=0.2):
        """Waits until `reached` gives something, and returns it; `what` is called at the end."""
        end = time.monotonic() + PATIENCE
        while not (found := reached()):
            assert self.process.poll() is None, f"Airflow has ended\n{self.tail()}"
            assert time.monotonic() < end, self._too_late(what)
            time.sleep(pause)
        return found

    def _too_late(self, what):
        what = what() if callable(what) else what
        return f"not within {PATIENCE} s: {what}\n{self.tail()}"

    def tail(self, lines=60):
        """The end of its log, without every answer of the API server."""
        found = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in found if "[http.access]" not in line][-lines:])

    def _ask(self, method, path, body=None, token=True):
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {self.token}")
        data = None if body is None else json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            # Longer than a writer waits for its turn at the database.
            with opener.open(request, data=data, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code >= 500 and path.endswith("/health"):
                raise
            raise AssertionError(f"{method} {path}: {error}: {error.read().decode()}") from error

    def api(self, method, path, body=None):
        """A request to the public API."""
        return self._ask(method, f"/api/v2/{path}", body)

    def command(self, *args):
        """`airflow …` on the command line, which must succeed."""
        done = subprocess.run(
            ["airflow", *args],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def switch_on(self, *dags):
        """Switches these DAGs on as soon as they are read. Not before all of Airflow is up: a task
        that starts before the API server does may fail, and is retried after minutes."""

        def known():
            errors = self.api("GET", "importErrors")["import_errors"]
            assert not errors, errors
            return set(dags) <= {dag["dag_id"] for dag in self.api("GET", "dags")["dags"]}

        self.until(f"the DAGs {dags} are read", known)
        for dag in dags:
            self.api("PATCH", f"dags/{dag}?update_mask=is_paused", {"is_paused": False})

    def trigger(self, dag, **conf):
        """Starts a run by hand, as its form does."""
        run = self.api("POST", f"dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})
        return LiveRun(self, dag, run["dag_run_id"])

    def runs(self, dag, kind):
        """The runs of a kind, oldest day first."""
        found = self.api("GET", f"dags/{dag}/dagRuns?run_type={kind}&order_by=run_after")
        return [LiveRun(self, dag, run["dag_run_id"]) for run in found["dag_runs"]]

    def backfill(self, dag, command):
        """`airflow backfill create …`, as soon as the one before has ended for Airflow too, which
        looks every half minute."""

        def free():
            found = self.api("GET", f"backfills?dag_id={dag}")["backfills"]
            return all(one["completed_at"] for one in found)

        self.until("the backfill before is completed", free)
        self.command(*command)


class LiveRun:
    """A run of a DAG, as the API tells it."""

    def __init__(self, airflow, dag, run_id):
        self.airflow, self.dag, self.run_id = airflow, dag, run_id
        self.path = f"dags/{dag}/dagRuns/{urllib.parse.quote(run_id, safe='')}"

    def __repr__(self):
        return f"{self.dag} {self.run_id}"

    def state(self):
        """The state of the run."""
        return self.airflow.api("GET", self.path)["state"]

    def tasks(self):
        """Each task as it is now."""
        found = self.airflow.api("GET", f"{self.path}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def states(self):
        """The state of each task."""
        return {name: task["state"] for name, task in self.tasks().items()}

    def until(self, **states):
        """Waits until these tasks are in these states; a dot in a name is `__` here."""
        states = {task.replace("__", "."): state for task, state in states.items()}
        self.airflow.until(lambda: f"{self}: {states}, not {self.states()}",
                           lambda: states.items() <= self.states().items())  # fmt: skip

    def ended(self):
        """Waits for the end, and returns the run's state."""
        self.airflow.until(lambda: f"{self} has ended: {self.states()}",
                           lambda: self.state() in ENDED)  # fmt: skip
        return self.state()

    def span(self):
        """When the run began and ended."""
        found = self.airflow.api("GET", self.path)
        return tuple(datetime.fromisoformat(found[key]) for key in ("start_date", "end_date"))

    def clear(self, *tasks):
        """Clears tasks with what is downstream of them, as the form does."""
        body = {"dry_run": False, "only_failed": False, "include_downstream": True}
        body |= {"dag_run_id": self.run_id, "task_ids": tasks}
        self.airflow.api("POST", f"dags/{self.dag}/clearTaskInstances", body)

    def tries(self, task):
        """The state in which each try of a task ended."""
        found = self.airflow.api("GET", f"{self.path}/taskInstances/{task}/tries")
        return [one["state"] for one in found["task_instances"]]

    def spans(self):
        """When each try of each task began and ended."""
        for task in self.tasks():
            found = self.airflow.api("GET", f"{self.path}/taskInstances/{task}/tries")
            for one in found["task_instances"]:
                yield tuple(datetime.fromisoformat(one[key]) for key in ("start_date", "end_date"))

    def xcom(self, task):
        """What a task has handed on."""
        path = f"{self.path}/taskInstances/{task}/xcomEntries/return_value?deserialize=true"
        return self.airflow.api("GET", path)["value"]

    def text(self, task, attempt):
        """The log of a try."""
        folder = self.airflow.home / "logs" / f"dag_id={self.dag}" / f"run_id={self.run_id}"
        return (folder / f"task_id={task}" / f"attempt={attempt}.log").read_text()

    def retry(self, task):
        """The delay and the reason that the retry policy gave; the API does not tell them."""
        database = f"file:{self.airflow.home / 'airflow.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(database, uri=True, timeout=30)) as database:
            return database.execute(
                "SELECT retry_delay_override, retry_reason FROM task_instance"
                " WHERE dag_id = ? AND run_id = ? AND task_id = ?",
                (self.dag, self.run_id, task),
            ).fetchone()


class Process:
    """A process of this machine; one that has ended has nothing."""

    def __init__(self, pid):
        self.pid = int(pid)

    def _read(self, name):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/{name}").read_bytes().decode(errors="replace")
        return ""

    def arguments(self):
        """Its command line."""
        return self._read("cmdline").split("\0")[:-1]

    def environment(self):
        """Its environment, as `NAME=value`."""
        return set(self._read("environ").split("\0"))

    def parent(self):
        """The process that has started it."""
        return Process(self._stat()[1])

    def session(self):
        """The session it is in; none if it has ended."""
        found = self._stat()
        return int(found[3]) if found and found[0] != "Z" else None

    def _stat(self):
        """State, parent, group, session and more."""
        return self._read("stat").rpartition(")")[2].split()

    def kill(self, number):
        """Sends a signal to it; false if it has ended."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def processes():
    """Every process of this machine."""
    return [Process(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def free_ports(count):
    """Ports on loopback that nobody has."""
    with contextlib.ExitStack() as sockets:
        found = []
        for _ in range(count):
            one = sockets.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            found.append(one.getsockname()[1])
        return found
