"""Does to a Delta table what nobody should, with an implementation that is not ours.

    spoil_table.py TABLE_DIR delete WHERE     deletes the rows of a SQL condition
    spoil_table.py TABLE_DIR double WHERE     appends a copy of them
    spoil_table.py TABLE_DIR stranger WHERE   appends a copy of them that names another object version
    spoil_table.py TABLE_DIR nameless WHERE   appends a copy of them whose version is no version
    spoil_table.py TABLE_DIR pose WHERE KEY VERSION ROW      appends a copy of them that poses as this row

Prints the number of rows as JSON.
"""

import json
import sys

import deltalake
import pyarrow

VERSION = "_s3_version"


def replaced(rows, name, value):
    field = rows.schema.field(name)
    column = pyarrow.array([value] * rows.num_rows, field.type)
    return rows.set_column(rows.schema.get_field_index(name), field, column)


def main(directory, what, where, *pose):
    table = deltalake.DeltaTable(directory)
    found = deltalake.QueryBuilder().register("t", table).execute(f"select * from t where {where}").read_all()
    rows = pyarrow.table(found)
    if what == "delete":
        table.delete(where)
    else:
        if what == "pose":
            key, version, row = pose
            rows = replaced(replaced(replaced(rows, "_s3_key", key), VERSION, version), "_s3_row", int(row))
        elif what != "double":
            rows = replaced(rows, VERSION, {"stranger": "f" * 32, "nameless": "unknown"}[what])
        deltalake.write_deltalake(directory, rows, mode="append")
    print(json.dumps(rows.num_rows))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        sys.exit(f"spoil_table.py: {type(error).__name__}: {error}")
