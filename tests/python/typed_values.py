"""Reads a Delta table with deltalake, its texts with parts with DuckDB, and a Parquet file with pyarrow. Each row of the
table has to have the values of the one row of the file, the id aside.

    typed_values.py TABLE FILE

Prints {"rows": [id, ...], "problems": [...]}.
"""

import datetime
import decimal
import ipaddress
import json
import sys
import uuid

import deltalake
import duckdb
import pyarrow
import pyarrow.parquet

# How DuckDB is told to take the texts apart.
PARTS = {
    "matrix": "TINYINT[][]",
    "counts": "MAP(VARCHAR, UBIGINT)",
    "place": 'STRUCT("at" TIMESTAMP, ok BOOLEAN)',
    "pair": "JSON[]",
    "lines": "STRUCT(sku VARCHAR, price DECIMAL(6, 2))[]",
}
# What else a table keeps as text.
TEXTS = {"big": int, "wide": decimal.Decimal, "uid": uuid.UUID, "address": ipaddress.ip_address}


def of_table(path):
    read = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(path)).execute("select * from t order by id")
    t = pyarrow.table(read.read_all())
    # Without its zone, which is UTC: DuckDB would want another package for it.
    t = t.set_column(t.column_names.index("fine"), "fine", t["fine"].cast(pyarrow.timestamp("us")))
    names = [name for name in t.column_names if not name.startswith("_")]
    columns = [f'"{name}"::JSON::{PARTS[name]}' if name in PARTS else f'"{name}"' for name in names]
    found = duckdb.sql(f"select {', '.join(columns)} from t order by id").fetchall()
    return [dict(zip(names, row)) for row in found]


def of_file(path):
    row = pyarrow.parquet.read_table(path).to_pylist()[0]
    row["counts"] = dict(row["counts"])
    row["pair"] = [json.dumps(part) for part in row["pair"].values()]
    return row


def plain(name, value):
    if name in TEXTS and value is not None and not isinstance(value, bytes):
        return TEXTS[name](value) if isinstance(value, str) else value
    if isinstance(value, bytes):
        return uuid.UUID(bytes=value)
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None) if value.tzinfo is None else value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value


def main(table, file):
    wanted, rows = of_file(file), of_table(table)
    problems = []
    for row in rows:
        for name in wanted.keys() | row.keys():
            ours, theirs = plain(name, row.get(name, "no column")), plain(name, wanted.get(name, "no column"))
            if name != "id" and ours != theirs:
                problems.append(f"row {row['id']}: {name} is {ours!r} here and {theirs!r} there")
    print(json.dumps({"rows": [row["id"] for row in rows], "problems": problems}))


main(sys.argv[1], sys.argv[2])
