"""Measures mp and its peers, side by side and in turn, and writes RESULTS.md.

All input is read once before each measurement, so files are warm for everyone. Every full run has a
fresh project folder, deleted outside the timed part.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import chart
import inputs
import measure
import report

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
AS_OF = inputs.LAST_DAY
FILES = ("prints-*.json", "taps-*.json", "pays-*.csv")


class Bench:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.mp = str(Path(os.environ["MP_BIN"]).resolve())
        self.work = options.work.resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.inputs = inputs.Inputs(self.mp, self.work / "data")
        self.results: dict = {}

    # Our own program.

    def project(self, name: str = "project") -> Path:
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def command(self, project: Path, raw: Path, *more: str, as_of: str = AS_OF) -> list:
        settings = ["--set", f"data_paths.raw={raw}"]
        if not (raw / "prints.json").exists():
            for source, glob in zip(("prints", "taps", "payments"), FILES, strict=True):
                settings += ["--set", f'sources.{source}.files=["{glob}"]']
        run = [self.mp, "run", "--all", "-q", "--json", "--project", project, "--as-of", as_of]
        return [*run, *settings, "--set", f"processing.n_workers={self.options.threads}", *more]

    def mp_run(self, raw: Path, *more: str) -> measure.Taken:
        command = self.command(self.project(), raw, *more)
        measure.warm(raw)
        return measure.run(command)

    def mp_runs(self, raw: Path, *more: str) -> dict:
        runs = [self.mp_run(raw, *more) for _ in range(self.options.pairs)]
        return measure.summaries(runs) | {"rows": report.rows_read(json.loads(runs[0].stdout))}

    def floor(self) -> dict:
        """The tables of the last run, already in memory, written once more into nothing."""
        data = self.work / "project" / "data"
        files = [*sorted((data / "processed").glob("*.parquet")), *(data / "output").glob("*.parquet")]
        command = [os.environ["MP_FLOOR"], "--threads", self.options.threads, *files]
        return json.loads(measure.run(command).stdout)

    def say(self, name: str, figures: dict) -> None:
        self.results[name] = figures
        (self.work / "results.json").write_text(json.dumps(self.results, indent=1))
        print(name, json.dumps(figures)[:400], flush=True)

    # The cases, in the order of the targets.

    def case_peers(self) -> None:
        """mp, DuckDB and Polars in turn, on the same rows."""
        raw = self.inputs.plain(self.options.prints)
        python = sys.executable
        out = self.work / "peer"
        job = [raw, out, AS_OF, "--threads", self.options.threads]
        commands = {
            "DuckDB": [python, PEERS / "duckdb_job.py", *job],
            "Polars": [python, PEERS / "polars_job.py", *job],
        }
        taken: dict[str, list[measure.Taken]] = {"mp": [], "DuckDB": [], "Polars": []}
        floors: list[dict] = []
        same, details = {}, {}
        for _ in range(self.options.pairs):
            taken["mp"].append(self.mp_run(raw))
            for name, command in commands.items():
                shutil.rmtree(out, ignore_errors=True)
                measure.warm(raw)
                taken[name].append(measure.run(command))
                if name not in same:
                    compare = [python, HERE / "compare.py", self.work / "project", out]
                    same[name] = json.loads(measure.run(compare).stdout)
                    if not same[name]["same"]:
                        raise SystemExit(f"mp and {name} disagree: {json.dumps(same[name])}")
            floors.append(self.floor())
        for name in commands:
            last = json.loads(taken[name][-1].stdout)
            details[name] = {"version": last["version"], "seconds": last["seconds"]}
        ours = json.loads(taken["mp"][-1].stdout)
        ratios = {
            name: measure.summary(
                [peer.wall / mp.wall for mp, peer in zip(taken["mp"], taken[name], strict=True)]
            )
            for name in commands
        }
        self.say(
            "peers",
            {
                "prints": self.options.prints,
                "bytes": sum(path.stat().st_size for path in raw.iterdir()),
                "rows": report.rows_read(ours),
                "gold": same["DuckDB"]["gold"]["rows"],
                "runs": {name: measure.summaries(runs) for name, runs in taken.items()},
                "ratios": ratios,
                "floor": {
                    "wall": measure.summary([one["seconds"] for one in floors]),
                    "cpu": measure.summary([one["cpu_seconds"] for one in floors]),
                },
                "phases": report.phases(ours),
                "details": details,
                "same": same,
            },
        )

    def case_memory(self) -> None:
        """A quarter of the memory; and what ten times the rows take, if asked for."""
        raw = self.inputs.plain(self.options.prints)
        small, usual = [], []
        for _ in range(self.options.pairs):
            usual.append(self.mp_run(raw))
            small.append(self.mp_run(raw, "--set", "processing.max_memory_mb=256"))
        self.say("memory", {"1024": measure.summaries(usual), "256": measure.summaries(small)})

    def case_large(self) -> None:
        """Ten times the rows; not among the default cases, for it needs 60 GB of disk."""
        found = {}
        for prints in (self.options.prints, 10 * self.options.prints):
            raw = self.inputs.plain(prints)
            runs = [self.mp_run(raw) for _ in range(min(self.options.pairs, 3))]
            rows = report.rows_read(json.loads(runs[0].stdout))
            found[str(prints)] = measure.summaries(runs) | {"rows": rows}
        self.say("large", found)

    def case_shapes(self) -> None:
        """The same number of rows in hard shapes, each beside plain rows of the same number."""
        n = self.options.prints
        none = ("--taps", "0", "--payments", "0")
        plain = self.inputs.plain(n)
        pairs = {
            "one user owns a tenth of all rows": (plain, self.inputs.one_user(n)),
            "all rows on one day": (plain, self.inputs.plain(n, "--days", "1")),
            f"{n // 2:,} users with one row each": (
                self.inputs.plain(n // 2, *none),
                self.inputs.distinct_users(n // 2),
            ),
            "3,000 value props": (plain, self.inputs.many_props(n)),
            "500 files": (plain, self.inputs.split(n, 500)),
        }
        # Rare values are rejected more often than usual, and one user has more rows than usual.
        free = ("--set", "quality.enable_quality_checks=false")
        found = {}
        for name, (easy, hard) in pairs.items():
            taken: tuple[list, list] = ([], [])
            for _ in range(min(self.options.pairs, 3)):
                for runs, raw in zip(taken, (easy, hard), strict=True):
                    runs.append(self.mp_run(raw, *free))
            rows = report.rows_read(json.loads(taken[1][0].stdout))
            easy_figures, hard_figures = map(measure.summaries, taken)
            found[name] = {"rows": rows, "plain": easy_figures, "hard": hard_figures}
        self.say("shapes", found)

    def case_nothing(self) -> None:
        """Nothing to do: exec to exit."""
        runs = 10 * self.options.pairs
        found = {}
        raws = {
            "3 files": self.inputs.plain(self.options.prints),
            "1,000 files": self.inputs.split(self.options.prints, 1000),
        }
        for name, raw in raws.items():
            command = self.command(self.project(), raw)
            measure.run(command)
            # Files younger than the last run by less than the clock of the file system can tell are
            # hashed again.
            time.sleep(2)
            measure.run(command)
            found[f"mp, {name}"] = measure.summaries([measure.run(command) for _ in range(runs)])
        found["mp --help"] = measure.summaries(
            [measure.run([self.mp, "--help"]) for _ in range(runs)]
        )
        found |= self.idle_peers(runs)
        self.say("nothing", found)

    def idle_peers(self, runs: int) -> dict:
        """`dvc repro` with 4 stages and make with 7 files, both with nothing to do."""
        folder = self.project("noop")
        shutil.copytree(PEERS / "noop", folder, dirs_exist_ok=True)
        (folder / "raw").mkdir()
        for source in ("prints", "taps", "payments"):
            (folder / "raw" / source).write_text(source)
        (folder / ".dvc").mkdir()
        (folder / ".dvc" / "config").write_text(
            "[core]\n    no_scm = true\n    analytics = false\n"
        )
        dvc = [Path(sys.executable).with_name("dvc"), "repro", "--quiet"]
        here = os.getcwd()
        os.chdir(folder)
        try:
            measure.run(dvc)
            found = {"dvc repro": measure.summaries([measure.run(dvc) for _ in range(runs // 5)])}
            if shutil.which("make"):
                measure.run(["make", "report"])
                found["make"] = measure.summaries(
                    [measure.run(["make", "report"]) for _ in range(runs)]
                )
        finally:
            os.chdir(here)
        return found

    def case_day(self) -> None:
        """One more day among 30: as_of goes on by a day, one file for each source is new."""
        raw = self.inputs.daily(self.options.prints)
        found: dict[str, list] = {"full": [], "next day": []}
        for _ in range(self.options.pairs):
            known = self.project("raw")
            for path in raw.iterdir():
                if inputs.LAST_DAY not in path.name:
                    os.link(path, known / path.name)
            project = self.project()
            measure.run(self.command(project, known, as_of=inputs.DAY_BEFORE))
            for path in raw.glob(f"*{inputs.LAST_DAY}*"):
                os.link(path, known / path.name)
            measure.warm(known)
            found["next day"].append(measure.run(self.command(project, known)))
            fresh = self.command(self.project(), known)
            measure.warm(known)
            found["full"].append(measure.run(fresh))
        tasks = json.loads(found["next day"][0].stdout)["tasks"]
        parsed = [task["counts"].get("files_parsed", 0) for task in tasks if task.get("counts")]
        figures = {name: measure.summaries(runs) for name, runs in found.items()}
        self.say("day", figures | {"files_parsed": sum(parsed)})

    def case_threads(self) -> None:
        """One processor and two, and what two processes show on this machine. With `--jobs 1` one
        thread computes, and reading, sorting and writing go on beside it."""
        raw = self.inputs.plain(self.options.prints)
        kinds = {
            "1 thread on one processor": (1, "1"),
            "`--jobs 1` on two": (2, "1"),
            "2 threads on two": (2, "2"),
        }
        runs: dict[str, list] = {name: [] for name in kinds}
        machine = []
        for _ in range(self.options.pairs):
            for name, (processors, threads) in kinds.items():
                with measure.processors(processors):
                    runs[name].append(self.mp_run(raw, "--jobs", threads))
            machine.append(measure.two_processes())
        figures = {name: measure.summaries(taken) for name, taken in runs.items()}
        self.say("threads", figures | {"two_processes": statistics.median(machine)})

    def run(self) -> None:
        self.say("about", self.about())
        cases = self.options.case or ["peers", "memory", "shapes", "nothing", "day", "threads"]
        for name in cases:
            getattr(self, f"case_{name}")()
        for name in ("project", "raw", "peer", "noop"):
            shutil.rmtree(self.work / name, ignore_errors=True)

    def about(self) -> dict:
        words = [word for word in sys.argv[1:] if word != "--report"]
        cpu = next(
            (
                line.split(":")[1].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            ),
            platform.processor(),
        )
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        disk = subprocess.run(
            ["df", "--output=fstype", self.work], capture_output=True, text=True, check=False
        ).stdout.split()[-1:]
        return {
            "version": measure.run([self.mp, "--version"]).stdout.strip(),
            "machine": f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {''.join(disk)}",
            "system": f"{platform.platform()}, Python {platform.python_version()}",
            "threads": self.options.threads,
            "load": os.getloadavg()[0],
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "command": " ".join(["benches/run", *words]),
        }


def main() -> None:
    names = [name.removeprefix("case_") for name in dir(Bench) if name.startswith("case_")]
    parser = argparse.ArgumentParser(prog="benches/run", description=__doc__)
    parser.add_argument(
        "--prints", type=int, default=10_000_000, metavar="N", help="lines of prints"
    )
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="runs of each")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="for everybody")
    parser.add_argument(
        "--case", action="append", choices=names, help="only this one; may be repeated"
    )
    parser.add_argument(
        "--quick", action="store_true", help="200,000 prints and 2 runs: does it work?"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=HERE.parent / "target" / "bench",
        help="where data and projects go",
    )
    parser.add_argument("--report", action="store_true", help="only write the report once more")
    options = parser.parse_args()
    if options.quick:
        options.prints, options.pairs = 200_000, 2
    bench = Bench(options)
    if options.report or options.case:
        kept = bench.work / "results.json"
        bench.results = json.loads(kept.read_text()) if kept.exists() else {}
    if not options.report:
        bench.run()
    # A quick look is no result.
    where = bench.work if options.quick else HERE
    (where / "RESULTS.md").write_text(report.markdown(bench.results))
    if "peers" in bench.results:
        (where / "comparison.svg").write_text(chart.svg(bench.results["peers"]))
    print(f"written: {where / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
