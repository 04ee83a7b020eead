"""The whole job in DuckDB: duckdb_job.py RAW OUT AS_OF, with --threads N.

The SQL is in duckdb.sql.
"""

import argparse
import datetime as dt
import json
import time
from pathlib import Path

import duckdb

HEADER = b"pay_date,total,user_id,value_prop"

parser = argparse.ArgumentParser()
parser.add_argument("raw", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("as_of", help="a date: its end is what may be known")
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()

with (arguments.raw / "pays.csv").open("rb") as file:
    if file.readline().removeprefix(b"\xef\xbb\xbf").rstrip() != HEADER:
        raise SystemExit("pays.csv: another header than expected")
arguments.out.mkdir(parents=True, exist_ok=True)
as_of = dt.datetime.combine(dt.date.fromisoformat(arguments.as_of), dt.time()) + dt.timedelta(1)

connection = duckdb.connect(config={"threads": arguments.threads})
connection.execute(f"SET VARIABLE as_of = TIMESTAMP '{as_of}'")
sql = Path(__file__).with_name("duckdb.sql").read_text()
sql = sql.replace("$RAW", str(arguments.raw)).replace("$OUT", str(arguments.out))
seconds = {}
for part in sql.split("-- step: ")[1:]:
    name, statements = part.split("\n", 1)
    began = time.perf_counter()
    result = connection.execute(statements)
    seconds[name] = round(time.perf_counter() - began, 3)
row = result.fetchone()
counts = dict(zip((column[0] for column in result.description), row, strict=True))
connection.close()
print(json.dumps({"version": duckdb.__version__, "seconds": seconds, "counts": counts}))
