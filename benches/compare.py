"""Says whether two folders of Silver and Gold hold the same rows: compare.py OURS PEER.

Prints one JSON document: for each table the rows of both and how many only one side has, all
columns compared; for Gold the sums too. Runs in its own process, for it needs memory.
"""

import json
import sys

import duckdb

OURS = {
    "gold": "data/output/training_dataset",
    "prints": "data/processed/prints",
    "taps": "data/processed/taps",
    "payments": "data/processed/payments",
}
SUMS = """SELECT count(*), count(*) FILTER (clicked), sum(prints_count_3w), sum(taps_count_3w),
    sum(payments_count_3w), sum(CAST(round(payments_amount_3w * 100) AS BIGINT)) FROM """


def main() -> None:
    ours, peer = sys.argv[1:]
    connection = duckdb.connect(config={"memory_limit": "5GB", "preserve_insertion_order": False})
    result = {}
    for table, path in OURS.items():
        one, other = f"'{ours}/{path}.parquet'", f"'{peer}/{table}.parquet'"
        # Rows in one and not in the other, by a hash over all columns: a full join of all of them
        # would need more memory than the runs themselves.
        query = f"""SELECT coalesce(sum(a), 0), coalesce(sum(b), 0),
            coalesce(sum(greatest(a - b, 0)), 0), coalesce(sum(greatest(b - a, 0)), 0)
            FROM (SELECT sum(a) AS a, sum(b) AS b FROM (
                SELECT md5_number(CAST(t AS VARCHAR)) AS h, 1 AS a, 0 AS b FROM {one} AS t
                UNION ALL
                SELECT md5_number(CAST(t AS VARCHAR)), 0, 1 FROM {other} AS t) GROUP BY h)"""
        row = connection.execute(query).fetchone()
        names = ("rows", "rows_peer", "only_ours", "only_peer")
        result[table] = dict(zip(names, map(int, row), strict=True))
    sums = [
        connection.execute(SUMS + f"'{path}'").fetchone()
        for path in (f"{ours}/{OURS['gold']}.parquet", f"{peer}/gold.parquet")
    ]
    result["gold_sums"] = [int(value) for value in sums[0]]
    result["same"] = sums[0] == sums[1] and not any(
        result[table]["only_ours"] + result[table]["only_peer"] for table in OURS
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
