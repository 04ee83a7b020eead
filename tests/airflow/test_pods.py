"""The Kubernetes DAG as it is, run by Airflow in real containers of the image.

pods/__init__.py says what stands in for a cluster, and what is not proven thereby.
"""

from __future__ import annotations

import copy
import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import Project, Run, command, mp
from pods.admission import Refused
from pods.api import Api
from pods.cluster import Cluster
from pods.engine import SIDECAR_IMAGE, Podman
from test_kubernetes import pod_of

USER = 65532
DAY = "2020-11-30"
# Of what a pod logs, what Airflow shows at a level of its own comes first in a line.
LEVELS = ("INFO ", "WARN ", "ERROR ")
MARKS = ("::group::", "::endgroup::")


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    """The pod API, with both images in the storage of its podman."""
    home = tmp_path_factory.mktemp("pods")
    podman = Podman(home / "podman")
    podman.build_images(Path(shutil.which("mp")).resolve())
    api = Api(Cluster(podman, home))
    yield api
    api.close()
    podman.remove()


class PodProject(Project):
    """A project folder on the volume that the pods share, and runs of the DAG on it."""

    DAG_ID = "mp_carousel_kubernetes"

    def __init__(self, path, database, api):
        super().__init__(path, database)
        self.api = api
        self.give_to_user()
        api.cluster.claims["mp-project"] = path
        self.first_pod = len(api.cluster.history)
        connection = {
            "kube_config_path": str(api.write_kubeconfig(path.with_suffix(".kubeconfig"))),
            "xcom_sidecar_container_image": SIDECAR_IMAGE,
        }
        connection = json.dumps({"conn_type": "kubernetes", "extra": connection})
        self.environment = {**os.environ, "AIRFLOW_CONN_KUBERNETES_DEFAULT": connection}

    def give_to_user(self):
        """As `fsGroup` would: all that is there belongs to the user of the pods."""
        for path in (self.path, *self.path.rglob("*")):
            os.chown(path, USER, USER)

    @property
    def pods(self):
        """The pods of this project, in the order of their creation."""
        return self.api.cluster.history[self.first_pod :]

    def log(self, pod):
        """What a pod that runs has said so far."""
        return self.api.call(self.api.cluster.podman.log(pod.container()))

    def start(self, hour, only=None):
        """Begins `airflow dags test`; with `only` every other task is as good as done."""
        logical_date = f"2020-12-01T{hour:02}:00:00+00:00"
        pattern = ["--mark-success-pattern", rf"(?!{only}$).*"] if only else []
        return Started(self, logical_date, pattern)

    def temporary_files(self):
        """What no run that has ended may leave."""
        return [path for path in (self.path / "data").rglob("*") if path.suffix == ".tmp"]


class Started:
    """A run of the DAG that is under way."""

    def __init__(self, project, logical_date, arguments):
        self.project, self.logical_date = project, logical_date
        self._log = project.path.with_suffix(f".{logical_date[11:13]}.log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["airflow", "dags", "test", project.DAG_ID, logical_date, *arguments],
                env=project.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def wait_for(self, condition, seconds=240):
        """Waits until a condition holds; what it gives is handed back."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert self._process.poll() is None, f"the run has ended: {self._log.read_text()}"
            assert time.monotonic() < end, f"not within {seconds} s: {self._log.read_text()}"
            time.sleep(0.002)
        return found

    def wait_for_retry(self, task, tries):
        """Waits until a task has failed so often, and waits for its next try."""

        def waits():
            time.sleep(0.2)
            found = self._outcome().tasks.get(task)
            return found == ("up_for_retry", tries)

        self.wait_for(waits)

    def let_delay_pass(self, task):
        """Moves the end of the last try back by an hour, so that nobody waits for the next one.

        Again and again until the next one begins: Airflow may write the end once more after it has
        said that the task is to be retried.
        """

        def has_gone_on():
            time.sleep(0.2)
            with sqlite3.connect(self.project.database, timeout=60) as database:
                rows = database.execute(
                    "SELECT id FROM task_instance WHERE task_id = ? AND state = ?",
                    (task, "up_for_retry"),
                ).fetchall()
                if not rows:
                    return True
                [(row,)] = rows
                earlier = datetime.now(timezone.utc) - timedelta(hours=1)
                database.execute(
                    "UPDATE task_instance SET end_date = ? WHERE id = ?",
                    (earlier.replace(tzinfo=None).isoformat(" ", "microseconds"), row),
                )
            return False

        self.wait_for(has_gone_on)

    def finish(self, seconds=300):
        """Waits for the end of the run."""
        self._process.wait(seconds)
        return self._outcome()

    def _outcome(self):
        output = self._log.read_text()
        done = subprocess.CompletedProcess([], self._process.returncode, output)
        return Run(self.project, done, self.logical_date)


@pytest.fixture
def project(tmp_path, database, api):
    """A fresh project on the shared volume, and nobody left on it."""
    project = PodProject(tmp_path / "volume", database, api)
    yield project
    api.call(api.cluster.close())


@pytest.fixture
def small_volume(tmp_path, api):
    """A file system of 16 MiB."""
    volume = tmp_path / "volume"
    volume.mkdir()
    done = command("mount", "-t", "tmpfs", "-o", "size=16m", "mp-test", volume)
    assert done.returncode == 0, done.stdout
    yield volume
    api.call(api.cluster.close())
    done = command("umount", volume)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, database):
    """The project after `mp run --all` on this machine."""
    project = Project(tmp_path_factory.mktemp("undisturbed") / "project", database)
    of_project = ("--project", project.path, "--config", project.path / "config/airflow.yaml")
    mp("run", "--all", *of_project, "--as-of", DAY)
    return project


def wait_until(condition, seconds=120):
    """Waits until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


def results(project):
    """All that a run makes for others, by its path: bytes of files, what manifests say of them."""
    found = {}
    for folder in ("processed", "output", "quality_reports"):
        for path in sorted((project.path / "data" / folder).rglob("*")):
            if path.parent.name == "_manifests" and path.suffix == ".json":
                manifest = json.loads(path.read_text())
                found[str(path.relative_to(project.path))] = manifest["outputs"]
            elif path.is_file() and path.suffix != ".lock":
                found[str(path.relative_to(project.path))] = path.read_bytes()
    return found


@contextmanager
def locked(project, task):
    """Holds the lock of a task, as another mp would."""
    path = project.path / f"data/processed/{DAY}/_manifests/{task}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        project.give_to_user()
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def process_on(volume):
    """The mp that works on a volume now."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text() == "mp\n" and volume.samefile(folder / "cwd"):
                return int(folder.name)
        except OSError:
            pass  # It has ended in the meantime.
    return None


def stop_half_way(project, since=0.0):
    """Stops mp as soon as it has begun to write a result; gives its process."""
    try:
        facts = [path.stat() for path in (project.path / "data/.mp/tmp").iterdir()]
    except FileNotFoundError:
        return None  # There is no such folder yet, or a file has its name now.
    if not any(fact.st_size and fact.st_mtime > since for fact in facts):
        return None
    process = process_on(project.path)
    if process:
        os.kill(process, signal.SIGSTOP)
    return process


def waits_for(process, number):
    """Whether a signal has come that the process has not taken yet."""
    status = Path(f"/proc/{process}/status").read_text()
    pending = re.search(r"^ShdPnd:\s*(\w+)$", status, re.MULTILINE)
    return int(pending[1], 16) >> (number - 1) & 1


def credentials(process):
    """What the kernel says a process may do."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {key: status[key].split() for key in ("Uid", "Gid", "CapEff", "NoNewPrivs", "Seccomp")}


def networks(process):
    """The network interfaces that a process sees."""
    lines = Path(f"/proc/{process}/net/dev").read_text().splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


def test_a_run_in_pods_gives_the_bytes_of_mp_and_another_run_computes_nothing(
    project, graph, undisturbed
):
    with project.start(hour=2) as run:
        first = run.finish()
    assert first.code == 0, first.output
    assert first.states() == dict.fromkeys(graph, "success"), first.output
    assert results(project) == results(undisturbed)
    assert f"data/output/{DAY}/_SUCCESS.json" in results(project)
    assert project.temporary_files() == []
    manifests = project.manifests()
    for task in graph:
        document = first.xcoms[task]
        assert (document["task"], document["exit_code"]) == (task, 0), document
        assert document["verdict"] == "done", document

    pods = project.pods
    assert sorted(pod.label("task_id") for pod in pods) == sorted(graph)
    for pod in pods:
        base = pod.inspected["base"]
        assert base["ImageName"] == "localhost/mp:0.1.0"
        assert base["Config"]["User"] == f"{USER}:{USER}"
        assert "MP__PROCESSING__N_WORKERS=1" in base["Config"]["Env"]
        assert base["HostConfig"]["ReadonlyRootfs"] is True
        assert base["HostConfig"]["Memory"] == 2 * 2**30
        assert pod.terminated() | {"exitCode": 0, "reason": "Completed"} == pod.terminated()
        assert pod.terminated()["message"] == "", "a reason is for failures"
        # All that the pod has said is in Airflow's log: lines with levels, and the document, which
        # need not be the last line here, for nobody orders what comes from two streams.
        lines = pod.log.splitlines()
        assert all(line in first.output for line in lines), pod.log
        [document] = [line for line in lines if not line.startswith((*LEVELS, *MARKS))]
        assert json.loads(document) == first.xcoms[pod.label("task_id")]
    owners = {path.stat().st_uid for path in (project.path / "data").rglob("*")}
    assert owners == {USER}

    with project.start(hour=3) as run:
        second = run.finish()
    assert second.code == 0, second.output
    assert second.states() == dict.fromkeys(graph, "success"), second.output
    assert {task: second.xcoms[task]["verdict"] for task in graph} == dict.fromkeys(
        graph, "up_to_date"
    )
    assert project.manifests() == manifests
    assert results(project) == results(undisturbed)
    assert len(project.pods) == 2 * len(graph), "a pod for each task of each run"


def test_pods_side_by_side_share_the_volume_and_lose_no_line_of_the_log(
    project, bag, graph, undisturbed
):
    api, dag = project.api, bag.dags[project.DAG_ID]
    tasks = [task for task in graph if task.startswith("extract.")]
    with ExitStack() as locks:
        for task in tasks:
            locks.enter_context(locked(project, task))
        pods = [api.call(api.cluster.create(without_sidecar(pod_of(dag, task)))) for task in tasks]
        # All three are at work at the same time.
        for pod in pods:
            wait_until(lambda pod=pod: b"waiting" in project.log(pod))
            api.call(api.cluster.refresh(pod))
            assert credentials(pod.state()["Pid"]) == {
                "Uid": [str(USER)] * 4, "Gid": [str(USER)] * 4, "CapEff": ["0" * 16],
                "NoNewPrivs": ["1"], "Seccomp": ["2"],
            }  # fmt: skip
            assert networks(pod.state()["Pid"]) == ["lo"]

    def phase(pod):
        return api.call(api.cluster.refresh(pod)).body["status"]["phase"]

    wait_until(lambda: "Running" not in map(phase, pods))
    assert [phase(pod) for pod in pods] == ["Succeeded"] * 3
    found, expected = results(project), results(undisturbed)
    assert found and found.items() <= expected.items()

    logs = sorted((project.path / "logs").iterdir())
    assert [path.name for path in logs] == [
        "pipeline.1-2.log", "pipeline.1.log", "pipeline.log",
    ]  # fmt: skip
    written = {}
    for path in logs:
        lines = path.read_text().splitlines()
        assert "a task of Airflow begins" in lines[0] and "a task of Airflow ends" in lines[-1]
        [task] = [task for task in tasks if f'task="{task}"' in lines[0]]
        written[task] = lines
    for pod, task in zip(pods, tasks, strict=True):
        told = [line for line in pod.log.splitlines() if line.startswith(LEVELS)]
        assert len(written[task]) == len(told), (written[task], told)


def without_sidecar(pod):
    """The same pod for a test that ends no sidecar."""
    [base] = [one for one in pod["spec"]["containers"] if one["name"] == "base"]
    return {**pod, "spec": {**pod["spec"], "containers": [base]}}


def test_a_full_volume_is_worth_a_retry(small_volume, database, api, undisturbed):
    project, task = PodProject(small_volume, database, api), "extract.payments"
    filler = small_volume / "filler"
    command("dd", "if=/dev/zero", f"of={filler}", "bs=4096")
    assert shutil.disk_usage(small_volume).free == 0
    with project.start(hour=4, only=task) as run:
        run.wait_for_retry(task, 1)
        [pod] = project.pods
        assert pod.terminated()["exitCode"] == 75, pod.log
        assert pod.terminated()["message"].endswith(" mp-exit=75")
        filler.unlink()
        run.let_delay_pass(task)
        done = run.finish()
    assert done.code == 0, done.output
    assert done.tasks[task] == ("success", 2)
    assert done.xcoms[task]["verdict"] == "done"
    assert [pod.label("try_number") for pod in project.pods] == ["1", "2"]
    assert project.temporary_files() == []
    path = f"data/processed/{DAY}/_rejects/payments.csv"
    assert results(project)[path] == results(undisturbed)[path]


def test_too_many_rejects_fail_at_once_and_say_why(project):
    raw = project.path / "data/raw/prints.json"
    raw.write_bytes(b"{broken\n" * 5000 + raw.read_bytes())
    with project.start(hour=5, only="extract.prints") as run:
        failed = run.finish()
    assert failed.code == 1, failed.output
    assert failed.tasks["extract.prints"] == ("failed", 1)
    for words in ("json.malformed", "were rejected", "mp-exit=4", "no retry can mend it"):
        assert words in failed.output, failed.output
    [pod] = project.pods
    assert pod.terminated()["exitCode"] == 4
    message = pod.terminated()["message"]
    assert "were rejected" in message and message.endswith(" mp-exit=4"), message


def test_what_is_stopped_half_way_is_done_by_the_retry(project, tmp_path, database):
    task = "extract.prints"
    # Long enough to be met at work.
    raw = project.path / "data/raw"
    mp("synth", raw, "--force", "--prints", 2_000_000, "--taps", 10, "--payments", 10)
    project.give_to_user()
    api = project.api
    with project.start(hour=6, only=task) as run:
        # Killed, as by a kernel that is out of memory.
        process = run.wait_for(lambda: stop_half_way(project))
        os.kill(process, signal.SIGKILL)
        run.wait_for_retry(task, 1)
        [killed] = project.pods
        assert killed.terminated()["exitCode"] == 137, killed.log
        assert project.temporary_files(), "it was not half-way"
        again = time.time()
        run.let_delay_pass(task)

        # Deleted with time to end, as when its node is drained.
        process = run.wait_for(lambda: stop_half_way(project, since=again))
        deleted = project.pods[1]
        api.call(api.cluster.delete(deleted, None))
        wait_until(lambda: waits_for(process, signal.SIGTERM))
        os.kill(process, signal.SIGCONT)
        went_on = time.time()
        run.wait_for_retry(task, 2)
        assert deleted.body["metadata"]["deletionGracePeriodSeconds"] == 30
        assert deleted.terminated()["exitCode"] == 143, deleted.log
        ended = datetime.fromisoformat(deleted.state()["FinishedAt"])
        assert ended.timestamp() - went_on < 5
        assert project.temporary_files() == []
        run.let_delay_pass(task)
        done = run.finish()
    assert done.code == 0, done.output
    assert done.tasks[task] == ("success", 3)
    assert done.xcoms[task]["verdict"] == "done"
    assert [pod.label("try_number") for pod in project.pods] == ["1", "2", "3"]
    assert project.temporary_files() == []

    other = Project(tmp_path / "undisturbed", database)
    shutil.rmtree(other.path / "data/raw")
    shutil.copytree(raw, other.path / "data/raw", copy_function=os.link)
    of_project = ("--project", other.path, "--config", other.path / "config/airflow.yaml")
    mp("extract", "--source", "prints", *of_project, "--as-of", DAY)
    assert results(project) == results(other)


def test_what_a_cluster_would_refuse_is_refused(api, bag, tmp_path):
    api.cluster.claims["mp-project"] = tmp_path
    good = pod_of(bag.dags[PodProject.DAG_ID], "features")
    root = {"name": "root", "hostPath": {"path": "/"}}
    other = {"name": "other", "persistentVolumeClaim": {"claimName": "other"}}
    for words, change in {
        "base: runAsUser": lambda spec, base: base["securityContext"].update(runAsUser=0),
        "base: capabilities": lambda spec, base: base["securityContext"].pop("capabilities"),
        "volume root is of a restricted type": lambda spec, base: spec["volumes"].append(root),
        'serviceaccount "x" not found': lambda spec, base: spec.update(serviceAccountName="x"),
        'persistentvolumeclaim "other"': lambda spec, base: spec["volumes"].append(other),
        "imagePullPolice": lambda spec, base: base.update(imagePullPolice="Never"),
    }.items():
        pod = copy.deepcopy(good)
        change(pod["spec"], pod["spec"]["containers"][0])
        with pytest.raises(Refused, match=words):
            api.call(api.cluster.create(pod))
