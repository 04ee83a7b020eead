"""What the linters do not check: our own rules for workflows, image and pod.

Prints each rule that is broken and ends with 1 if there is one.
"""

import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
USER = 65532
problems = []


def check(holds, what):
    if not holds:
        problems.append(what)


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def found(pattern, path):
    """The first group of the pattern, which must be there."""
    match = re.search(pattern, text(path), re.MULTILINE)
    check(match, f"{path}: nothing is like {pattern}")
    return match.group(1) if match else None


def workflow(path):
    """Actions are pinned by hash with their version; each `run` is sound shell."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if "uses:" in line:
            pinned = re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)
            check(pinned, f"{path.name}: no full hash with its version: {line.strip()}")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    check(document.get("permissions") == {}, f"{path.name}: permissions at the top are not {{}}")
    for name, job in document["jobs"].items():
        where = f"{path.name}: {name}"
        check(job.get("permissions") == {"contents": "read"}, f"{where}: wider permissions")
        check("timeout-minutes" in job, f"{where}: no timeout")
        for step in job["steps"]:
            script = step.get("run")
            if script is None:
                continue
            # GitHub runs it with `bash -e`.
            result = subprocess.run(
                ["shellcheck", "--shell=bash", "-"],
                input="set -e\n" + script,
                text=True,
                capture_output=True,
                check=False,
            )
            check(result.returncode == 0, f"{where}: {step.get('name')}:\n{result.stdout}")


def pod(path):
    """The Pod Security level "restricted", and our own resources."""
    spec = yaml.safe_load(text(path))["spec"]
    whole = spec.get("securityContext") or {}
    check(spec.get("automountServiceAccountToken") is False, f"{path}: mounts a token")
    check(spec.get("terminationGracePeriodSeconds", 30) > 5, f"{path}: no time to end in")
    for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
        check(not spec.get(field), f"{path}: {field}")
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"}
    allowed |= {"persistentVolumeClaim", "projected", "secret"}
    for volume in spec.get("volumes") or []:
        kinds = set(volume) - {"name"}
        check(kinds <= allowed, f"{path}: volume {volume['name']}: {kinds}")
    for container in spec["containers"] + (spec.get("initContainers") or []):
        where = f"{path}: {container['name']}"
        own = container.get("securityContext") or {}
        both = {**whole, **own}
        check(own.get("allowPrivilegeEscalation") is False, f"{where}: may gain privileges")
        check(own.get("readOnlyRootFilesystem") is True, f"{where}: root can be written")
        check(own.get("capabilities") == {"drop": ["ALL"]}, f"{where}: capabilities")
        check(not own.get("privileged"), f"{where}: privileged")
        check(both.get("runAsNonRoot") is True, f"{where}: runAsNonRoot is not true")
        check(both.get("runAsUser") == USER, f"{where}: runAsUser is not {USER}")
        seccomp = (both.get("seccompProfile") or {}).get("type")
        check(seccomp in ("RuntimeDefault", "Localhost"), f"{where}: seccomp {seccomp}")
        requests = container["resources"]["requests"]
        limits = container["resources"]["limits"]
        check({"cpu", "memory"} <= set(requests), f"{where}: requests")
        check("cpu" not in limits, f"{where}: a CPU limit")
        check(limits.get("memory") == requests.get("memory"), f"{where}: memory limit")
        # limits.cpu unset would be all cores of the node.
        threads = [one for one in container["env"] if one["name"] == "MP__PROCESSING__N_WORKERS"]
        source = threads and threads[0]["valueFrom"]["resourceFieldRef"]["resource"]
        check(source == "requests.cpu", f"{where}: threads from {source}")


def compose(path):
    """Nothing can be written but volumes, and nobody is root."""
    for name, service in yaml.safe_load(text(path))["services"].items():
        where = f"{path}: {name}"
        check(service.get("read_only") is True, f"{where}: root can be written")
        check(service.get("user") == f"{USER}:{USER}", f"{where}: user {service.get('user')}")
        check(service.get("cap_drop") == ["ALL"], f"{where}: capabilities")


def image(path):
    """What hadolint does not ask for."""
    rust = found(r'^rust-version = "(.+)"$', "Cargo.toml")
    version = found(r'^version = "(.+)"$', "Cargo.toml")
    check(found(r"^ARG RUST_IMAGE=.*:(\d+\.\d+)", path) == rust, f"{path}: Rust is not {rust}")
    check(found(r"^ARG VERSION=(.*)$", path) == version, f"{path}: VERSION is not {version}")
    found(rf"^(USER {USER}:{USER})$", path)
    found(r'^(ENTRYPOINT \["/)', path)
    for line in text(path).splitlines():
        if line.startswith("FROM "):
            check("${" in line or re.match(r"FROM [a-z]+ AS ", line), f"{path}: fixed base: {line}")
    for command in re.findall(r"cargo (?:install|build|chef cook).*(?:\\\n.*)*", text(path)):
        check("--locked" in command, f"{path}: without --locked: {command}")
    rules = [one for one in text(".dockerignore").splitlines() if one and one[0] != "#"]
    check(rules[0] == "**", ".dockerignore: no allow-list")


for one in sorted((ROOT / ".github/workflows").glob("*.yml")):
    workflow(one)
pod("docker/pod_template.yaml")
compose("docker/compose.yaml")
image("docker/Dockerfile")
print("\n".join(problems))
sys.exit(bool(problems))
