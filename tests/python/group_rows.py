"""Counts the rows of a Delta table by the values of some columns, with an engine that is not ours.

    group_rows.py TABLE_DIR --engine deltalake|polars COLUMN...

Prints one JSON list with an object for each combination of values that occurs, in the order of the values:
[{"_s3_key": "a.csv", "rows": 3}, ...]

Exit code 1 and a message on standard error if the table cannot be read.
"""

import argparse
import json
import sys

import deltalake
import polars


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def by_deltalake(directory, columns):
    engine = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(directory))
    names = ", ".join(map(quoted, columns))
    found = engine.execute(f"select {names}, count(*) from t group by {names} order by {names}").read_all()
    # Views of strings and integers of any width: `as_py` knows them all.
    values = [[value.as_py() for value in found.column(index)] for index in range(found.num_columns)]
    return [dict(zip([*columns, "rows"], row)) for row in zip(*values)]


def by_polars(directory, columns):
    frame = polars.scan_delta(directory).group_by(columns).agg(rows=polars.len()).sort(columns)
    return frame.collect().to_dicts()


def main():
    parser = argparse.ArgumentParser(description="Counts rows by the values of columns.")
    parser.add_argument("table_dir")
    parser.add_argument("columns", nargs="+", metavar="COLUMN")
    parser.add_argument("--engine", required=True, choices=["deltalake", "polars"])
    options = parser.parse_args()
    count = by_deltalake if options.engine == "deltalake" else by_polars
    print(json.dumps(count(options.table_dir, options.columns), default=str))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(f"group_rows.py: {type(error).__name__}: {error}")
