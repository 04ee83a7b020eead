"""What a pod must be before it is let in.

The published schema, strictly, and the Pod Security level "restricted", by the text of its
standard. A webhook or a policy of a real cluster may ask for more.
"""

from __future__ import annotations

from collections.abc import Iterator

import kubernetes_validate

KUBERNETES = "1.33"
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
# What this cluster could not run as it is meant.
NOT_HERE = ("initContainers", "ephemeralContainers", "imagePullSecrets")
VOLUMES_HERE = {"emptyDir", "persistentVolumeClaim"}


class Refused(Exception):
    """A pod that is not let in: status code, reason, message."""

    def __init__(self, code: int, reason: str, message: str):
        super().__init__(message)
        self.code, self.reason = code, reason


def admit(pod: dict, service_accounts: set[str]) -> None:
    """Raises Refused for a pod that a cluster would not take, or that this one cannot run."""
    try:
        kubernetes_validate.validate(pod, KUBERNETES, True)
    except kubernetes_validate.ValidationError as error:
        raise Refused(422, "Invalid", f"{error.path}: {error.message}") from error
    account = pod["spec"].get("serviceAccountName", "default")
    if account not in service_accounts:
        raise Refused(403, "Forbidden", f'serviceaccount "{account}" not found')
    if broken := list(broken_rules(pod["spec"])):
        message = f'violates PodSecurity "restricted:latest": {", ".join(broken)}'
        raise Refused(403, "Forbidden", message)
    if missing := list(not_here(pod["spec"])):
        raise Refused(501, "NotImplemented", f"the test's cluster has no {', '.join(missing)}")


def broken_rules(spec: dict) -> Iterator[str]:
    """The rules of "restricted" that a pod breaks."""
    of_pod = spec.get("securityContext") or {}
    for volume in spec.get("volumes") or []:
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']} is of a restricted type"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    for container in spec["containers"] + (spec.get("initContainers") or []):
        context = {**of_pod, **(container.get("securityContext") or {})}
        capabilities = context.get("capabilities") or {}
        rules = {
            "privileged": not context.get("privileged"),
            "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
            "capabilities": "ALL" in (capabilities.get("drop") or [])
            and set(capabilities.get("add") or []) <= {"NET_BIND_SERVICE"},
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "runAsUser": context.get("runAsUser") != 0,
            "seccompProfile": (context.get("seccompProfile") or {}).get("type")
            in ("RuntimeDefault", "Localhost"),
            "hostPort": not any(port.get("hostPort") for port in container.get("ports") or []),
        }
        yield from (f"{container['name']}: {rule}" for rule, kept in rules.items() if not kept)


def not_here(spec: dict) -> Iterator[str]:
    """What a pod asks for that this cluster does not have."""
    yield from (key for key in NOT_HERE if spec.get(key))
    for volume in spec.get("volumes") or []:
        yield from sorted(set(volume) - {"name"} - VOLUMES_HERE)
    for container in spec["containers"]:
        yield from (
            key
            for key in ("envFrom", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
            if container.get(key)
        )
        for variable in container.get("env") or []:
            yield from sorted(set(variable.get("valueFrom") or {}) - {"resourceFieldRef"})
