"""Reads a CSV file with DuckDB and with Polars, and a Delta table with Polars, and compares every value.

    csv_values.py FILE TABLE

Prints {"compared": {"duckdb": rows, "polars": rows}, "problems": [...]}.
"""

import datetime
import json
import sys

import duckdb
import polars

DUCKDB = {
    "id": "UINTEGER",
    "small": "SMALLINT",
    "large": "UBIGINT",
    "maybe": "BIGINT",
    "float": "DOUBLE",
    "flag": "BOOLEAN",
    "amount": "DECIMAL(18,2)",
    "day": "DATE",
    "time": "TIMESTAMP",
    "text": "VARCHAR",
}


def by_duckdb(path):
    columns = json.dumps(DUCKDB).replace('"', "'")
    found = duckdb.sql(f"select * from read_csv('{path}', header=true, auto_detect=false, delim=',', quote='\"', escape='\"', columns={columns})")
    return [dict(zip(DUCKDB, row)) for row in found.fetchall()]


def by_polars(path):
    types = {
        "id": polars.UInt32,
        "small": polars.Int16,
        "large": polars.UInt64,
        "maybe": polars.Int64,
        "float": polars.Float64,
        "flag": polars.Boolean,
        "amount": polars.Decimal(18, 2),
        "day": polars.Date,
        "time": polars.String,
        "text": polars.String,
    }
    frame = polars.read_csv(path, schema=types)
    times = polars.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S%.6f", time_unit="us")
    return frame.with_columns(times).to_dicts()


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    return value


def main(path, table):
    ours = {int(row["id"]): row for row in polars.read_delta(table).to_dicts()}
    problems, compared = [], {}
    for engine, theirs in (("duckdb", by_duckdb(path)), ("polars", by_polars(path))):
        compared[engine] = len(theirs)
        if len(theirs) != len(ours):
            problems.append(f"{engine} has {len(theirs)} rows, we have {len(ours)}")
        for row in theirs:
            mine = ours.get(row["id"], {})
            for name, value in row.items():
                # An empty text: neither can tell '' from NULL once it is told the types.
                same = plain(mine.get(name)) == plain(value) or (name == "text" and value is None and mine.get(name) == "")
                if not same:
                    problems.append(f"{engine}: row {row['id']}: {name} is {mine.get(name)!r} here and {value!r} there")
    print(json.dumps({"compared": compared, "problems": problems[:20]}))


main(sys.argv[1], sys.argv[2])
