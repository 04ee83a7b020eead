"""Runs a command and says what it took: wall time, CPU time, peak memory.

The peak of a process counts from the memory of the process that started it, so this module and
whoever uses it must stay small: no dataframe library here.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Taken:
    wall: float  # seconds
    cpu: float  # seconds, user and system, all threads and children
    peak: float  # MiB, of the largest process
    stdout: str


def run(command: list, check: bool = True) -> Taken:
    """From exec to exit. Standard output goes to a file, so that no pipe can hold the child up."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        files = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, err.fileno(), 2),
        ]
        words = [str(word) for word in command]
        began = time.perf_counter()
        child = os.posix_spawnp(words[0], words, os.environ, file_actions=files)
        _, status, usage = os.wait4(child, 0)
        wall = time.perf_counter() - began
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read().decode(), err.read().decode()
    code = os.waitstatus_to_exitcode(status)
    if check and code != 0:
        raise SystemExit(
            f"{' '.join(words)}\nended with {code}\n{stdout[-2000:]}\n{stderr[-4000:]}"
        )
    cpu = usage.ru_utime + usage.ru_stime
    return Taken(wall, cpu, usage.ru_maxrss / 1024, stdout)


@contextmanager
def processors(count: int) -> Iterator[None]:
    """Lets this process and those it starts run on so many processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def summary(values: list[float]) -> dict:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def summaries(runs: list[Taken]) -> dict:
    """Median, least and most of each figure."""
    found = {
        name: summary([getattr(one, name) for one in runs]) for name in ("wall", "cpu", "peak")
    }
    return found | {"runs": len(runs)}


def warm(folder: Path) -> None:
    """Reads every file once, so that all start from the page cache."""
    buffer = bytearray(1 << 20)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


SPIN = "import hashlib; d = hashlib.sha256(); b = bytes(1 << 20); [d.update(b) for _ in range(600)]"


def two_processes() -> float:
    """How much more two independent processes get done on this machine than one: 2.0 at best."""
    command = [sys.executable, "-c", SPIN]
    alone = min(run(command).wall for _ in range(3))
    together = []
    for _ in range(3):
        began = time.perf_counter()
        for process in [subprocess.Popen(command) for _ in range(2)]:
            process.wait()
        together.append(time.perf_counter() - began)
    return 2 * alone / min(together)
