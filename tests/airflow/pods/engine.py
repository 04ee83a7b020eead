"""podman with settings and a storage of its own: it touches no images or containers of others.

As a program it tries whether podman can run a container here. Does not know Kubernetes.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MP_IMAGE = "localhost/mp:0.1.0"
SIDECAR_IMAGE = "localhost/xcom-sidecar:1"

# No network, for nothing needs one; cgroupfs, for systemd need not be there; runc, for crun knows no
# machine where version 1 of control groups has version 2 beside it. Limits of a process are those
# that this one has: more is not for every root to give. Locks in files, for those in shared memory
# would be shared with the podman of others.
SETTINGS = """\
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]
netns = "none"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{home}/tmp"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{home}/graph"
runroot = "{home}/run"
"""


class Podman:
    """podman in a folder of its own."""

    def __init__(self, home: Path):
        self.home = home
        self.empty = home / "empty"
        self.empty.mkdir(parents=True)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        files = 1048576 if files == resource.RLIM_INFINITY else files
        settings, storage = home / "containers.conf", home / "storage.conf"
        settings.write_text(SETTINGS.format(home=home, files=files))
        storage.write_text(STORAGE.format(home=home))
        others = {key: text for key, text in os.environ.items() if not key.startswith("CONTAINER")}
        self.environment = {
            **others,
            "CONTAINERS_CONF": str(settings),
            "CONTAINERS_STORAGE_CONF": str(storage),
        }

    def run(self, *arguments: object) -> str:
        """Runs podman, which must succeed; gives its output."""
        return self.program("podman", *arguments)

    def program(self, *arguments: object) -> str:
        """Runs a program that calls this podman. It must succeed; gives its output."""
        done = subprocess.run(
            [str(argument) for argument in arguments],
            env=self.environment, cwd=self.empty, timeout=300, check=False, text=True,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    async def start(self, *arguments: str, errors=subprocess.PIPE) -> asyncio.subprocess.Process:
        """Starts podman with pipes."""
        # Beside a folder with the name of an image podman would want to build that.
        return await asyncio.create_subprocess_exec(
            "podman", *arguments, env=self.environment, cwd=self.empty,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip

    async def log(self, container: str) -> bytes:
        """What a container has said, both streams in one."""
        process = await self.start("logs", container, errors=asyncio.subprocess.STDOUT)
        output, _ = await process.communicate()
        return output

    async def ask(self, *arguments: str, said: bytes = b"") -> tuple[int, bytes, bytes]:
        """Runs podman with an input; gives exit code, output and errors."""
        process = await self.start(*arguments)
        output, errors = await process.communicate(said)
        return process.returncode or 0, output, errors

    async def inspect(self, *containers: str) -> dict[str, dict]:
        """What podman knows of those of the containers that there are, by name."""
        _, output, _ = await self.ask("container", "inspect", *containers)
        return {one["Name"]: one for one in json.loads(output or b"[]")}

    def build_images(self, program: Path) -> None:
        """The image of docker/Dockerfile around this program, and the one for the sidecar."""
        self.program(HERE.parents[1] / "container/image", program, MP_IMAGE)
        context = self.home / "sidecar"
        context.mkdir()
        copy_busybox(context / "busybox")
        shutil.copy(HERE / "pgrep", context / "pgrep")
        self.run("build", "--quiet", "--file", HERE / "sidecar.Dockerfile", "--tag", SIDECAR_IMAGE,
                 context)  # fmt: skip

    def remove(self) -> None:
        """Ends whatever runs and removes it all."""
        self.run("pod", "rm", "--all", "--force", "--time", "0")
        shutil.rmtree(self.home)


def copy_busybox(to: Path) -> None:
    """The busybox of this machine, which must be there, and static."""
    found = shutil.which("busybox")
    assert found, "busybox is missing"
    shutil.copy(found, to)


def main() -> int:
    """Runs a container with limits."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        try:
            copy_busybox(root / "busybox")
            podman = Podman(Path(folder) / "podman")
            limits = ("--memory", "64m", "--read-only", "--cap-drop", "ALL", "--user", "65532")
            podman.run("run", "--rm", *limits, "--rootfs", root, "/busybox", "true")
        except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
