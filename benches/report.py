"""Writes RESULTS.md from the measured figures."""

PHASES = ("read", "hash", "parse", "scatter", "sort", "write", "sweep")


def rows_read(run: dict) -> int:
    """All rows of the raw files, from `mp run --json`."""
    return sum((task.get("counts") or {}).get("rows_read", 0) for task in run["tasks"])


def phases(run: dict) -> dict[str, float]:
    """Seconds by phase, all threads together, wherever the document has `phases`."""
    found: dict[str, float] = {}

    def look(value: object) -> None:
        if isinstance(value, list):
            for one in value:
                look(one)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key in ("phases", "timings") and isinstance(inner, dict):
                    for name, spent in inner.items():
                        seconds = spent.get("seconds") if isinstance(spent, dict) else spent
                        if isinstance(seconds, (int, float)):
                            found[name] = found.get(name, 0) + seconds
                else:
                    look(inner)

    look(run)
    if found:
        order = {name: at for at, name in enumerate(PHASES)}
        return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))
    # An mp without phases: the seconds of its tasks.
    return {task["task"]: task.get("seconds") or 0 for task in run["tasks"]}


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines) + "\n"


def seconds(figures: dict) -> str:
    return f"{figures['median']:.2f} s ({figures['low']:.2f}–{figures['high']:.2f})"


def milliseconds(figures: dict) -> str:
    return " ".join(
        [
            f"{figures['median'] * 1000:.1f} ms",
            f"({figures['low'] * 1000:.1f}–{figures['high'] * 1000:.1f})",
        ]
    )


def full(runs: dict) -> list[str]:
    """Time, CPU time and memory of some runs."""
    peak = runs["peak"]["high"]
    return [seconds(runs["wall"]), f"{runs['cpu']['median']:.1f} s", f"{peak:,.0f} MiB"]


def ratio(one: dict, other: dict) -> float:
    return one["wall"]["median"] / other["wall"]["median"]


COLUMNS = ["time", "CPU time", "peak memory"]


def peers(found: dict) -> str:
    versions = {name: f"{name} {one['version']}" for name, one in found["details"].items()}
    text = (
        f"## The whole job\n\n{found['prints']:,} prints, {found['rows']:,} rows in all,"
        f" {found['bytes'] / 1e9:.2f} GB of text, to {found['gold']:,} rows of Gold. Each ran"
        f" {found['runs']['mp']['runs']} times, in turn. The time is the median (least–most), the"
        " memory the most. The ratio is the median of the ratios within each turn. mp also hashes"
        " its input and output, sorts Silver, writes the rejected rows and judges the quality.\n\n"
    )
    rows = [["mp", *full(found["runs"]["mp"]), "1"]]
    for name, spread in found["ratios"].items():
        times = f"{spread['median']:.2f} ({spread['low']:.2f}–{spread['high']:.2f})"
        rows.append([versions[name], *full(found["runs"][name]), times])
    if floor := found.get("floor"):
        cpu = f"{floor['cpu']['median']:.1f} s"
        share = ratio(floor, found["runs"]["mp"])
        rows.append(["floor", seconds(floor["wall"]), cpu, "", f"{share:.2f}"])
    text += table(["", *COLUMNS, "ratio to mp"], rows)
    if floor:
        text += (
            "The floor: the same columns of Silver and Gold, already in memory, through the same"
            " contract and Parquet writer on as many threads, into nothing.\n\n"
        )
    one = found["same"]["DuckDB"]
    text += (
        "All three gave the same rows in every column of Silver and Gold:"
        f" {one['gold_sums'][0]:,} rows of Gold, {one['gold_sums'][1]:,} clicked; sums of prints"
        f" {one['gold_sums'][2]:,}, taps {one['gold_sums'][3]:,}, payments {one['gold_sums'][4]:,},"
        f" amounts {one['gold_sums'][5] / 100:,.2f}.\n\nWhere the time goes, in one run:\n\n"
    )
    text += "- mp: " + ", ".join(f"{name} {spent:.2f}" for name, spent in found["phases"].items())
    text += " (seconds, threads added up)\n"
    for name, one in found["details"].items():
        steps = ", ".join(f"{step} {spent:.1f}" for step, spent in one["seconds"].items())
        text += f"- {versions[name]}: {steps}\n"
    return text + "\n"


def memory(found: dict) -> str:
    rows = [
        [f"{size} MiB", *full(runs), f"{ratio(runs, found['1024']):.2f}"]
        for size, runs in found.items()
    ]
    return "## Less memory\n\n" + table(["max_memory_mb", *COLUMNS, "ratio to 1024"], rows)


def large(found: dict) -> str:
    first = next(iter(found.values()))
    rows = [
        [
            f"{int(prints):,}",
            f"{runs['rows']:,}",
            *full(runs),
            f"{ratio(runs, first) * first['rows'] / runs['rows']:.2f}",
        ]
        for prints, runs in found.items()
    ]
    head = ["prints", "rows", *COLUMNS, "ratio per row"]
    return "## Ten times the rows\n\n" + table(head, rows)


def shapes(found: dict) -> str:
    rows = [
        [
            name,
            f"{one['rows']:,}",
            *full(one["hard"]),
            seconds(one["plain"]["wall"]),
            f"{ratio(one['hard'], one['plain']):.2f}",
        ]
        for name, one in found.items()
    ]
    head = ["", "rows", *COLUMNS, "plain rows", "ratio"]
    return "## Hard shapes\n\n" + table(head, rows)


def nothing(found: dict) -> str:
    rows = [[name, milliseconds(runs["wall"])] for name, runs in found.items()]
    return (
        "## Nothing to do\n\nFrom exec to exit. mp has 8 tasks, `dvc repro` 4 stages, make looks at"
        " times of files only. Snakemake 9 with the 8 tasks took 0.88 s on such a machine.\n\n"
        + table(["", "time"], rows)
    )


def day(found: dict) -> str:
    rows = [
        [name, *full(found[name]), f"{ratio(found[name], found['full']):.2f}"]
        for name in ("full", "next day")
    ]
    return (
        "## One more day among 30\n\nOne file for each source is new and as_of is a day later;"
        f" extract read {found['files_parsed']} files of 90.\n\n"
        + table(["", *COLUMNS, "ratio to full"], rows)
    )


def threads(found: dict) -> str:
    kinds = [name for name in found if name != "two_processes"]
    rows = [
        [name, *full(found[name]), f"{ratio(found[kinds[0]], found[name]):.2f}"] for name in kinds
    ]
    return (
        "## Threads\n\nTwo independent processes get"
        f" {found['two_processes']:.2f} times as much done on this machine as one (SHA-256,"
        " measured between the runs). With `--jobs 1` one thread computes, but reading, sorting and"
        " writing go on beside it where there are processors.\n\n"
        + table(["", *COLUMNS, "speed"], rows)
    )


SECTIONS = {
    "peers": peers,
    "memory": memory,
    "large": large,
    "shapes": shapes,
    "nothing": nothing,
    "day": day,
    "threads": threads,
}


def runs_in(found: object) -> int:
    """How often each of its commands ran, at most."""
    if not isinstance(found, dict):
        return 0
    here = found.get("runs")
    return here if isinstance(here, int) else max(map(runs_in, found.values()), default=0)


def markdown(results: dict) -> str:
    about = results["about"]
    text = (
        "# Results\n\nWritten by `benches/run`; do not edit. What was tried stands in NOTES.md.\n\n"
        f"- program: {about['version']}, {about['date']}\n- machine: {about['machine']}\n"
        f"- system: {about['system']}\n- threads: {about['threads']} for everybody\n"
        f"- load when it began: {about['load']:.1f}\n- input files: warm, read once before each run\n\n"
    )
    for name, section in SECTIONS.items():
        if name in results:
            runs = runs_in(results[name]) // (10 if name == "nothing" else 1)
            text += section(results[name])
            text += f"To repeat it: `benches/run --case {name} --pairs {runs}`\n\n"
    return text.rstrip("\n") + "\n"
