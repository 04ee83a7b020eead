"""The whole job in Polars: polars_job.py RAW OUT AS_OF, with --threads N.

Each source is read once by the streaming engine. A row of the usual form is checked and converted
by cheap tests in the same pass. Every other row, about one in 300, is read again as a line and goes
through the full rules in rules.py. Users and value props get integer codes, so that the key of a
join is one 64-bit integer.
"""

import argparse
import datetime as dt
import json
import os
import re
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("raw", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("as_of", help="a date: its end is what may be known")
parser.add_argument("--threads", default="2")
arguments = parser.parse_args()
os.environ["POLARS_MAX_THREADS"] = arguments.threads

# Polars reads the number of threads once, on import.
import polars as pl
import rules
from polars import col

AS_OF = dt.datetime.combine(dt.date.fromisoformat(arguments.as_of), dt.time()) + dt.timedelta(1)
OLDEST = AS_OF - dt.timedelta(days=rules.OLDEST_DAYS)
DAYS = pl.Enum([str((OLDEST + dt.timedelta(i)).date()) for i in range(rules.OLDEST_DAYS)])
SMALL = pl.Enum([f": {i}, " for i in range(1000)])
QUOTE_FIELDS = [f"c{i}" for i in range(17)]
SKELETON = {
    "c0": "{",
    "c1": "day",
    "c2": ": ",
    "c4": ", ",
    "c5": "event_data",
    "c6": ": {",
    "c7": "position",
    "c9": "value_prop",
    "c10": ": ",
    "c12": "}, ",
    "c13": "user_id",
}
# No white space around it, no backslash.
PLAIN = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,98}[!-\[\]-~])?")
PARQUET = {"compression": "zstd", "compression_level": 1}


def collect(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.collect(engine="streaming")


def day_of(column: str) -> pl.Expr:
    """Days since OLDEST."""
    return col(column).cast(DAYS, strict=False).to_physical().cast(pl.Int16)


def split_at_quotes(path: Path, rows: int | None = None) -> pl.LazyFrame:
    """The lines of a JSON Lines file, split at every quotation mark."""
    return pl.scan_csv(
        path,
        has_header=False,
        separator='"',
        quote_char=None,
        schema=dict.fromkeys(QUOTE_FIELDS, pl.String),
        row_index_name="n",
        truncate_ragged_lines=True,
        missing_columns="insert",
        n_rows=rows,
    )


def usual_events(path: Path, props: pl.Enum) -> pl.LazyFrame:
    user = col("c14").str.strip_prefix(": ").str.strip_suffix("}").cast(pl.Int64, strict=False)
    return split_at_quotes(path).select(
        "n",
        d=day_of("c3"),
        u=pl.when(col("c14").str.contains(r"^: (?:0|[1-9][0-9]{0,12})\}$")).then(user),
        v=col("c11").cast(props, strict=False),
        p=col("c8").cast(SMALL, strict=False).to_physical().cast(pl.Int16),
        usual=pl.all_horizontal(
            *(col(name) == text for name, text in SKELETON.items()), col("c15").is_null()
        ),
    )


def usual_payments(path: Path, props: pl.Enum) -> pl.LazyFrame:
    line = pl.scan_lines(path, name="line").slice(1).filter(col("line") != "")
    fields = line.with_row_index("n").select(
        "n",
        col("line").str.split_exact(",", 4).struct.rename_fields(["c1", "c2", "c3", "c4", "c5"]),
    )
    fields = fields.unnest("line")
    cents = col("c2").str.replace(".", "", literal=True).cast(pl.Int64, strict=False)
    user = col("c3").cast(pl.Int64, strict=False)
    return fields.select(
        "n",
        d=day_of("c1"),
        u=pl.when(col("c3").str.contains(r"^(?:0|[1-9][0-9]{0,12})$")).then(user),
        v=col("c4").cast(props, strict=False),
        cents=pl.when(
            col("c2").str.contains(r"^[0-9]{1,6}\.[0-9]{2}$"), cents.is_between(1, rules.MAX_CENTS)
        ).then(cents),
        usual=col("c5").is_null(),
    )


class Codes:
    """Numbers for users and value props: those of the usual rows, and new ones for other names."""

    def __init__(self, props: list[str]) -> None:
        self.users: dict[str, int] = {}
        self.props = {name: code for code, name in enumerate(props)}

    def user(self, name: str) -> int:
        if name.isascii() and name.isdigit() and len(name) <= 13 and name == str(int(name)):
            return int(name)
        return self.users.setdefault(name, -1 - len(self.users))

    def prop(self, name: str) -> int:
        return self.props.setdefault(name, len(self.props))


class Source:
    """The valid rows of a file known at AS_OF: the usual ones, and the rest."""

    def __init__(self, path: Path, usual, props: pl.Enum, value: str, check, codes: Codes) -> None:
        self.file, self.value, self.props = path.name, value, props
        parts = (col(name).is_not_null() for name in ("d", "u", "v", value))
        rows = usual(path, props).with_columns(usual=pl.all_horizontal("usual", *parts))
        self.rows = collect(rows.with_columns(d=pl.when("usual").then("d")).drop("usual"))
        others = self.rows.lazy().filter(col("d").is_null()).select("n")
        lines = pl.scan_lines(path, name="line")
        if path.suffix == ".csv":
            lines = lines.slice(1).filter(col("line") != "")
        texts = collect(lines.with_row_index("n").join(others, on="n", how="semi"))
        self.rejected = 0
        rest = []
        for n, line in texts.iter_rows():
            row = check(line)
            if row is None or row[0] < OLDEST:
                self.rejected += bool(line.strip(" \t\r"))
            elif row[0] < AS_OF:
                time, user, prop, number, soft = row
                key = codes.user(user) * 65536 + codes.prop(prop)
                rest.append((n, time, user, prop, number, soft, key))
        names = {"n": pl.UInt32, "t": pl.Datetime("us"), "user": pl.String, "prop": pl.String}
        names |= {value: pl.Int64, "soft": pl.UInt8, "uv": pl.Int64}
        self.rest = pl.DataFrame(rest, schema=names, orient="row")

    def all(self) -> pl.LazyFrame:
        """n, t, user, prop, position or cents, soft, and uv, the key of user and value prop."""
        usual = (
            self.rows.lazy()
            .filter(col("d").is_not_null())
            .select(
                "n",
                (pl.lit(OLDEST) + pl.duration(days="d")).cast(pl.Datetime("us")).alias("t"),
                col("u").cast(pl.String).alias("user"),
                col("v").cast(pl.String).alias("prop"),
                col(self.value).cast(pl.Int64),
                pl.lit(0, pl.UInt8).alias("soft"),
                (col("u") * 65536 + col("v").to_physical().cast(pl.Int64)).alias("uv"),
            )
        )
        return pl.concat([usual, self.rest.lazy()])

    def drop_copies(self) -> int:
        """Drops all but the first of equal rows."""
        same = ["uv", "t", self.value]
        twice = self.all().group_by(same).len().filter(col("len") > 1)
        rows = self.all().join(twice, on=same, how="semi", nulls_equal=True).select("n", *same)
        copies = collect(rows).sort("n").filter(~pl.struct(same).is_first_distinct())["n"]
        if len(copies):
            late = col("n").is_in(copies.implode())
            self.rows = self.rows.with_columns(d=pl.when(~late).then("d"))
            self.rest = self.rest.filter(~late)
        return len(copies)

    def write_silver(self, path: Path) -> None:
        value = col("p").alias("position")
        if self.value == "cents":
            value = (col("cents") / 100).round(2).alias("amount")
        silver = self.all().select(
            col("t").dt.replace_time_zone("UTC").alias("timestamp"),
            col("user").alias("user_id"),
            col("prop").alias("value_prop_id"),
            value,
            pl.lit(AS_OF).cast(pl.Datetime("us", "UTC")).alias("processed_at"),
            pl.lit(self.file).alias("source_file"),
            col("n").cast(pl.Int64).alias("row_number"),
            pl.lit(False).alias("duplicate_flag"),
            (1 - 0.25 * col("soft")).alias("data_quality_score"),
        )
        silver.sink_parquet(path, **PARQUET, maintain_order=False, engine="streaming")


def write_gold(prints: Source, taps: Source, payments: Source, path: Path) -> None:
    day = col("t").dt.date()
    last = collect(prints.all().select(day.max())).item()
    last = last or AS_OF.date()  # no prints at all
    week = prints.all().with_columns(d=day).filter(col("d") > last - dt.timedelta(7))
    week = collect(week.select("t", "d", "user", "prop", "uv"))
    keys = week.lazy().select("uv", "d").unique().with_row_index("k")
    keys = collect(keys)

    def features(source: Source, day_itself: bool, *sums: pl.Expr) -> pl.LazyFrame:
        events = source.all().select("uv", day.alias("e"), *["cents"] * (source is payments))
        pairs = events.join(keys.lazy(), on="uv", how="inner")
        latest = col("d") if day_itself else col("d") - pl.duration(days=1)
        pairs = pairs.filter(col("e") >= col("d") - pl.duration(days=21), col("e") <= latest)
        return pairs.group_by("k").agg(sums)

    earlier = col("e") < col("d")
    gold = keys.lazy()
    for part in (
        features(prints, False, pl.len().alias("prints_count_3w")),
        features(
            taps, True, earlier.sum().alias("taps_count_3w"), (~earlier).any().alias("clicked")
        ),
        features(payments, False, pl.len().alias("payments_count_3w"), col("cents").sum()),
    ):
        gold = gold.join(part, on="k", how="left")
    counts = ("prints_count_3w", "taps_count_3w", "payments_count_3w")
    gold = (
        week.lazy()
        .join(gold, on=["uv", "d"], how="inner")
        .select(
            col("t").dt.replace_time_zone("UTC").alias("timestamp"),
            col("user").alias("user_id"),
            col("prop").alias("value_prop_id"),
            col("clicked").fill_null(False),
            *(col(name).fill_null(0).cast(pl.Int64) for name in counts),
            (col("cents").fill_null(0) / 100).round(2).alias("payments_amount_3w"),
        )
    )
    gold.sink_parquet(path, **PARQUET, maintain_order=False, engine="streaming")


def main() -> None:
    steps, counts = {}, {}
    began = time.perf_counter()

    def step(name: str) -> None:
        nonlocal began
        now = time.perf_counter()
        steps[name], began = round(now - began, 3), now

    arguments.out.mkdir(parents=True, exist_ok=True)
    # The value props of the first rows, so that a value prop is a small number from the start.
    first = collect(split_at_quotes(arguments.raw / "prints.json", 100_000).select("c11").unique())
    names = sorted(name for name in first["c11"].drop_nulls() if PLAIN.fullmatch(name))
    props, codes = pl.Enum(names), Codes(names)
    step("start")
    prints, taps = (
        Source(arguments.raw / file, usual_events, props, "p", rules.event, codes)
        for file in ("prints.json", "taps.json")
    )
    step("read prints and taps")
    payments = Source(
        arguments.raw / "pays.csv", usual_payments, props, "cents", rules.payment, codes
    )
    step("read payments")
    for name, source in (("prints", prints), ("taps", taps), ("payments", payments)):
        counts[f"{name}_rejected"] = source.rejected
        if source is not payments:
            counts[f"{name}_duplicates"] = source.drop_copies()
    step("find duplicates")
    for name, source in (("prints", prints), ("taps", taps), ("payments", payments)):
        source.write_silver(arguments.out / f"{name}.parquet")
    step("write silver")
    write_gold(prints, taps, payments, arguments.out / "gold.parquet")
    step("build and write gold")
    print(json.dumps({"version": pl.__version__, "seconds": steps, "counts": counts}))


if __name__ == "__main__":
    main()
