"""The pods that there are, their lives, and what is kept of them for the tests.

Does not know HTTP.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import shutil
import time
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from .admission import Refused, admit
from .engine import Podman
from .translation import message_of, phase_of, playable, state_of

NAMESPACE = "mp"
GRACE_SECONDS = 30
POLL_SECONDS = 0.1


@dataclass
class Pod:
    """A pod, and what is known of it once it is gone."""

    name: str
    # As the operator has sent it.
    sent: dict
    # As the API gives it back.
    body: dict
    folder: Path
    # What `podman inspect` said of each container, by its name in the pod, the last time.
    inspected: dict[str, dict] = field(default_factory=dict)
    log: str = ""
    # When it must have ended, by a clock that is never set.
    deadline: float | None = None
    gone: bool = False

    @property
    def containers(self) -> list[dict]:
        """The containers of its spec."""
        return self.body["spec"]["containers"]

    def container(self, name: str = "base") -> str:
        """What podman calls a container."""
        return f"{self.name}-{name}"

    def state(self, container: str = "base") -> dict:
        """What podman said last of the state of a container."""
        return self.inspected[container]["State"]

    def terminated(self, container: str = "base") -> dict:
        """How the container ended, as the API gives it."""
        statuses = {one["name"]: one["state"] for one in self.body["status"]["containerStatuses"]}
        return statuses[container]["terminated"]

    def label(self, name: str) -> str | None:
        """One of its labels."""
        return self.sent["metadata"]["labels"].get(name)


class Cluster:
    """One namespace on one machine. All but `claims` and `history` is for its own event loop."""

    def __init__(self, podman: Podman, home: Path):
        self.podman, self.home = podman, home
        # The folder of each claim; a test sets it before it starts a pod.
        self.claims: dict[str, Path] = {}
        self.service_accounts = {"default", "mp"}
        # Every pod there ever was, in the order of creation.
        self.history: list[Pod] = []
        self.events: list[dict] = []
        self._pods: dict[str, Pod] = {}
        self._versions = itertools.count(1)
        self._background: set[asyncio.Task] = set()

    def new_version(self) -> str:
        """The next resource version."""
        return str(next(self._versions))

    def pod(self, name: str) -> Pod:
        """The pod of this name."""
        if name not in self._pods:
            raise Refused(404, "NotFound", f'pods "{name}" not found')
        return self._pods[name]

    def pods(self) -> list[Pod]:
        """The pods that there are now."""
        return list(self._pods.values())

    async def create(self, sent: dict) -> Pod:
        """Lets a pod in and starts it."""
        admit(sent, self.service_accounts)
        name = sent["metadata"]["name"]
        if name in self._pods:
            raise Refused(409, "AlreadyExists", f'pods "{name}" already exists')
        for volume in sent["spec"].get("volumes") or []:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            # In a cluster it would wait for the claim for ever.
            if claim and claim not in self.claims:
                raise Refused(404, "NotFound", f'persistentvolumeclaim "{claim}" not found')
        body = copy.deepcopy(sent)
        body["metadata"].setdefault("labels", {})
        body["metadata"].update(
            namespace=NAMESPACE, uid=str(uuid.uuid4()), creationTimestamp=now(),
            resourceVersion=self.new_version(),
        )  # fmt: skip
        body["status"] = {"phase": "Pending", "startTime": now(), "containerStatuses": []}
        folder = self.home / body["metadata"]["uid"]
        folder.mkdir(parents=True)
        pod = Pod(name, copy.deepcopy(sent), body, folder)
        self._pods[name] = pod
        self.history.append(pod)
        self._event(pod, "Scheduled", f"Assigned {NAMESPACE}/{name} to this machine")
        # A cluster answers first. But an operator that sees it pending looks again after 5 seconds.
        await self._play(pod)
        return pod

    async def _play(self, pod: Pod) -> None:
        # JSON is YAML. There is no network, for mp needs none.
        text = json.dumps(playable(pod.body, pod.folder, self.claims)).encode()
        code, _, errors = await self.podman.ask(
            "kube", "play", "--build=false", "--network=none", "-", said=text
        )
        if code:
            pod.body["status"].update(phase="Failed", message=errors.decode()[-1000:])
            self._event(pod, "Failed", errors.decode()[-1000:], "Warning")
        else:
            self._event(pod, "Started", "Started its containers")

    async def refresh(self, pod: Pod) -> Pod:
        """Brings the status of a pod up to date."""
        status = pod.body["status"]
        if pod.gone or status["phase"] in ("Succeeded", "Failed"):
            return pod
        names = {pod.container(one["name"]): one["name"] for one in pod.containers}
        found = await self.podman.inspect(*names)
        if pod.gone or len(found) < len(names):
            return pod
        pod.inspected = {names[name]: one for name, one in found.items()}
        statuses = []
        for container in pod.containers:
            state = state_of(pod.inspected[container["name"]])
            if "terminated" in state:
                log = await self.podman.log(pod.container(container["name"]))
                code = state["terminated"]["exitCode"]
                message = message_of(container, code, pod.folder, log)
                state["terminated"]["message"] = message
                if container["name"] == "base":
                    pod.log = log.decode(errors="replace")
            statuses.append(
                {
                    "name": container["name"], "image": container["image"], "imageID": "",
                    "ready": "running" in state, "restartCount": 0, "state": state,
                }
            )  # fmt: skip
        status["containerStatuses"] = statuses
        status["phase"] = phase_of([one["state"] for one in statuses])
        pod.body["metadata"]["resourceVersion"] = self.new_version()
        return pod

    async def delete(self, pod: Pod, grace_seconds: int | None) -> Pod:
        """Asks a pod to end, and begins to remove it. The second time can only hurry it."""
        if grace_seconds is None:
            grace_seconds = pod.body["spec"].get("terminationGracePeriodSeconds", GRACE_SECONDS)
        deadline = time.monotonic() + grace_seconds
        if pod.deadline is None:
            pod.deadline = deadline
            pod.body["metadata"].update(
                deletionTimestamp=now(), deletionGracePeriodSeconds=grace_seconds
            )
            self._event(pod, "Killing", "Stopping its containers")
            self._later(self._end(pod))
        pod.deadline = min(pod.deadline, deadline)
        return pod

    async def _end(self, pod: Pod) -> None:
        await self.refresh(pod)
        running = [pod.container(name) for name in pod.inspected if pod.state(name)["Running"]]
        # Not `podman stop`, which keeps others out of the container until it has ended.
        await asyncio.gather(
            *(self.podman.ask("kill", "--signal", "TERM", name) for name in running)
        )
        while pod.body["status"]["phase"] == "Running" and time.monotonic() < pod.deadline:
            await asyncio.sleep(POLL_SECONDS)
            await self.refresh(pod)
        pod.gone = True
        await self.podman.ask("pod", "rm", "--force", "--time", "0", pod.name)
        self._pods.pop(pod.name, None)
        shutil.rmtree(pod.folder, ignore_errors=True)

    async def close(self) -> None:
        """Ends every pod at once, and waits for it."""
        for pod in self.pods():
            await self.delete(pod, 0)
        await asyncio.gather(*self._background, return_exceptions=True)

    def _later(self, work: Coroutine) -> None:
        task = asyncio.ensure_future(work)
        # The loop itself does not keep it alive.
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _event(self, pod: Pod, reason: str, message: str, kind: str = "Normal") -> None:
        metadata, version = pod.body["metadata"], self.new_version()
        self.events.append(
            {
                "metadata": {
                    "name": f"{pod.name}.{version}", "namespace": NAMESPACE,
                    "resourceVersion": version, "uid": str(uuid.uuid4()),
                },
                "involvedObject": {
                    "kind": "Pod", "name": pod.name, "namespace": NAMESPACE, "uid": metadata["uid"]
                },
                "reason": reason, "message": message, "type": kind, "count": 1,
                "firstTimestamp": now(), "lastTimestamp": now(),
            }
        )  # fmt: skip


def now() -> str:
    """This moment as Kubernetes writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
