"""A pod as podman plays it, and what podman says of it in the words of Kubernetes.

Does in the place of a kubelet what podman leaves out: claims, empty folders that anybody may write,
amounts of resources in the environment, the file for the termination message. Runs nothing.
"""

from __future__ import annotations

import copy
import math
from decimal import Decimal
from pathlib import Path

UNITS = {
    "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
# A kubelet reads no more of the file, and takes no more of the log in its place.
MESSAGE_BYTES, LOG_LINES, LOG_BYTES = 4096, 80, 2048


def amount(quantity: object) -> Decimal:
    """How much `500m` or `2Gi` is."""
    text = str(quantity)
    for unit in sorted(UNITS, key=len, reverse=True):
        if text.endswith(unit):
            return Decimal(text[: -len(unit)]) * UNITS[unit]
    return Decimal(text)


def resource_of(containers: list[dict], asked: dict) -> str:
    """What a `resourceFieldRef` stands for."""
    [container] = [one for one in containers if one["name"] == asked["containerName"]]
    kind, _, name = asked["resource"].partition(".")
    value = amount(container["resources"][kind][name])
    return str(math.ceil(value / amount(asked.get("divisor", "1"))))


def message_file(folder: Path, container: str) -> Path:
    """The file for a container's termination message, which lies in the folder of its pod."""
    return folder / f"termination-{container}"


def playable(pod: dict, folder: Path, claims: dict[str, Path]) -> dict:
    """The pod for `podman kube play`; makes below the folder what it mounts."""
    spec = copy.deepcopy(pod["spec"])
    for volume in spec.get("volumes") or []:
        if claim := volume.pop("persistentVolumeClaim", None):
            path = claims[claim["claimName"]]
        else:
            volume.pop("emptyDir")
            path = folder / f"volume-{volume['name']}"
            path.mkdir()
            # podman would give it to the user of the first container.
            path.chmod(0o777)
        volume["hostPath"] = {"path": str(path), "type": "Directory"}
    for container in spec["containers"]:
        container["imagePullPolicy"] = "Never"
        for variable in container.get("env") or []:
            if source := variable.pop("valueFrom", None):
                asked = source["resourceFieldRef"]
                variable["value"] = resource_of(pod["spec"]["containers"], asked)
        path = message_file(folder, container["name"])
        path.touch()
        path.chmod(0o666)
        name = path.name.lower()
        place = container.get("terminationMessagePath") or "/dev/termination-log"
        spec.setdefault("volumes", []).append(
            {"name": name, "hostPath": {"path": str(path), "type": "File"}}
        )
        container.setdefault("volumeMounts", []).append({"name": name, "mountPath": place})
    metadata = {key: pod["metadata"][key] for key in ("name", "labels")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def state_of(found: dict | None) -> dict:
    """The state of a container by what `podman inspect` says of it."""
    state = (found or {}).get("State", {})
    match state.get("Status"):
        case "running" | "paused" | "stopping":
            return {"running": {"startedAt": state["StartedAt"]}}
        case "exited" | "stopped":
            code = state["ExitCode"]
            reason = "OOMKilled" if state.get("OOMKilled") else "Error" if code else "Completed"
            return {
                "terminated": {
                    "exitCode": code, "reason": reason,
                    "startedAt": state["StartedAt"], "finishedAt": state["FinishedAt"],
                }
            }  # fmt: skip
        case _:
            return {"waiting": {"reason": "ContainerCreating"}}


def message_of(container: dict, exit_code: int, folder: Path, log: bytes) -> str:
    """The termination message of a container: its file or, where it may be, the end of its log."""
    written = message_file(folder, container["name"]).read_bytes()[:MESSAGE_BYTES]
    from_log = container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    if not written and exit_code and from_log:
        written = b"".join(log.splitlines(keepends=True)[-LOG_LINES:])[-LOG_BYTES:]
    return written.decode(errors="replace")


def phase_of(states: list[dict]) -> str:
    """The phase of a pod that is never restarted, by the states of its containers."""
    if all("terminated" in state for state in states):
        failed = any(state["terminated"]["exitCode"] for state in states)
        return "Failed" if failed else "Succeeded"
    return "Pending" if any("waiting" in state for state in states) else "Running"


def selected(labels: dict[str, str], selector: str) -> bool:
    """Whether labels are those that a label selector asks for (`a=b`, `a!=b`, `a`, `!a`)."""
    for term in filter(None, selector.split(",")):
        key, operator, value = term.partition("=")
        if operator and key.endswith("!"):
            kept = labels.get(key[:-1]) != value
        elif operator:
            kept = labels.get(key) == value.removeprefix("=")
        elif key.startswith("!"):
            kept = key[1:] not in labels
        else:
            kept = key in labels
        if not kept:
            return False
    return True
