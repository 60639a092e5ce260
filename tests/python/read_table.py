"""Reads a Delta table with an engine that is not ours and says what it found, as one JSON object.

    read_table.py TABLE_DIR --engine deltalake|polars [--ids COLUMN] [--values COLUMN] [--app-id ID]

    {"engine": "polars 2.1.0",    which implementation and release answered
     "version": 3,                version of the table
     "rows": 12,
     "distinct_rows": 12,         distinct (_s3_version, _s3_row); null if the table lacks them
     "columns": {"order_id": "long", ...},         types as the engine spells them, in the table's order
     "ids": {"count": 12, "distinct": 12, "min": 1, "max": 12},   with --ids; nulls are not counted
     "values": ["a", "b"],         with --values: the distinct values of a column, NULL left out, sorted
     "txn": 7}                    with --app-id (deltalake only): the version of that transaction id, or null

How far the engines are from us: `deltalake` (delta-rs and DataFusion) has a SQL engine of its own, but reads the log
with a descendant of the kernel that we write it with, and the data with an earlier release of the same Parquet crate.
`polars` reads the data with a Parquet reader of its own; its list of files comes from delta-rs.

Exit code 1 and a message on standard error if the table cannot be read.
"""

import argparse
import json
import sys

import deltalake
import polars

PROVENANCE = ["_s3_version", "_s3_row"]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def by_deltalake(table, ids, values):
    engine = deltalake.QueryBuilder().register("t", table)

    def one_row(sql):
        result = engine.execute(sql).read_all()
        return [result.column(index)[0].as_py() for index in range(result.num_columns)]

    columns = {field.name: field.type.to_json().strip('"') for field in table.schema().fields}
    found = {"rows": one_row("select count(*) from t")[0], "distinct_rows": None, "columns": columns}
    if all(name in columns for name in PROVENANCE):
        pair = ", ".join(map(quoted, PROVENANCE))
        found["distinct_rows"] = one_row(f"select count(*) from (select distinct {pair} from t)")[0]
    if ids:
        id_ = quoted(ids)
        row = one_row(f"select count({id_}), count(distinct {id_}), min({id_}), max({id_}) from t")
        found["ids"] = dict(zip(["count", "distinct", "min", "max"], row))
    if values:
        name = quoted(values)
        result = engine.execute(f"select distinct {name} from t where {name} is not null").read_all()
        found["values"] = sorted(value.as_py() for value in result.column(0))
    return found


def by_polars(table, directory, ids, values):
    frame = polars.scan_delta(directory, version=table.version())
    columns = {name: str(dtype) for name, dtype in frame.collect_schema().items()}
    found = {"rows": frame.select(polars.len()).collect().item(), "distinct_rows": None, "columns": columns}
    if all(name in columns for name in PROVENANCE):
        found["distinct_rows"] = frame.select(PROVENANCE).unique().select(polars.len()).collect().item()
    if ids:
        column = polars.col(ids)
        row = frame.select(
            count=column.count(),
            distinct=column.drop_nulls().n_unique(),
            min=column.min(),
            max=column.max(),
        )
        found["ids"] = row.collect().row(0, named=True)
    if values:
        found["values"] = sorted(frame.select(polars.col(values).drop_nulls().unique()).collect().to_series())
    return found


def main():
    parser = argparse.ArgumentParser(description="Reads a Delta table with an engine that is not ours.")
    parser.add_argument("table_dir")
    parser.add_argument("--engine", required=True, choices=["deltalake", "polars"])
    parser.add_argument("--ids", metavar="COLUMN")
    parser.add_argument("--values", metavar="COLUMN")
    parser.add_argument("--app-id", metavar="ID")
    options = parser.parse_args()
    if options.app_id and options.engine != "deltalake":
        parser.error("--app-id needs --engine deltalake: polars does not show transaction ids")

    table = deltalake.DeltaTable(options.table_dir)
    if options.engine == "deltalake":
        found = by_deltalake(table, options.ids, options.values)
        release = deltalake.__version__
    else:
        found = by_polars(table, options.table_dir, options.ids, options.values)
        release = polars.__version__
    answer = {"engine": f"{options.engine} {release}", "version": table.version(), **found}
    if options.app_id:
        answer["txn"] = table.transaction_version(options.app_id)
    print(json.dumps(answer, default=str))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(f"read_table.py: {type(error).__name__}: {error}")
