"""Prints the data columns of a Delta table as JSON, one object for each row, sorted by some columns.

    rows.py TABLE [--engine deltalake|polars] COLUMN...

Provenance columns are left out. Times are in ISO form, decimals and bytes are texts.
"""

import argparse
import datetime
import decimal
import json

PROVENANCE = ("_s3_key", "_s3_version", "_s3_row", "_batch_id")


def plain(value):
    if isinstance(value, (datetime.date, datetime.datetime, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def read(table, engine):
    import polars

    if engine == "polars":
        return polars.read_delta(table)
    import deltalake

    result = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(table)).execute("select * from t")
    return polars.DataFrame(result.read_all())


arguments = argparse.ArgumentParser()
arguments.add_argument("table")
arguments.add_argument("--engine", default="polars")
arguments.add_argument("columns", nargs="*")
given = arguments.parse_intermixed_args()
frame = read(given.table, given.engine)
if given.columns:
    frame = frame.sort(given.columns)
frame = frame.drop([name for name in PROVENANCE if name in frame.columns])
print(json.dumps([{name: plain(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]))
