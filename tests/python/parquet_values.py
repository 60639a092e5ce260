"""Reads Parquet files with pyarrow and the Delta tables that were made from them with Polars, and compares every value.

    parquet_values.py FILES OUTCOMES TABLES

FILES: JSON, import -> path. OUTCOMES: one JSON object a line, {"import", "file": {"outcome", "code", "message"}}.
A file that pyarrow reads has to be in table and quarantine, row by row, unless it was refused by a code of REFUSALS.
Prints {"compared": files, "refused": {file: code}, "problems": [...]}.
"""

import base64
import datetime
import decimal
import json
import math
import pathlib
import sys
import uuid

import polars
import pyarrow
import pyarrow.parquet

# Files may be refused for these reasons, and for no other, although pyarrow reads them.
REFUSALS = {
    "bad_footer",
    "corrupt",
    "duplicate_column",
    "encrypted",
    "page_too_large",
    "too_many_columns",
    "unsupported_codec",
    "unsupported_type",
}

WRONG = object()


def text_of(value):
    """Bytes as the text that they are, if they are one."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return WRONG


def plain_json(value):
    """A nested value as JSON has it, with numbers compared as numbers and everything else as text."""
    if isinstance(value, dict):
        return {str(name): plain_json(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(one, tuple) and len(one) == 2 for one in value):
            return [[plain_json(key), plain_json(one)] for key, one in value]
        return [plain_json(one) for one in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return float(value) if isinstance(value, int) or math.isfinite(value) else str(value).lower()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes):
        found = text_of(value)
        return base64.b64encode(value).decode() if found is WRONG else found
    return str(value)


def same(theirs, ours):
    """Whether a value of ours is one of theirs, in the form that a table keeps it."""
    if theirs is None or ours is None:
        return theirs is None and ours is None
    if isinstance(theirs, uuid.UUID):
        return ours == str(theirs)
    if isinstance(theirs, bytes):
        return ours in (text_of(theirs), theirs, theirs.hex(), base64.b64encode(theirs).decode()) or is_uuid(theirs, ours)
    if isinstance(theirs, float):
        return ours == theirs or (math.isnan(theirs) and isinstance(ours, float) and math.isnan(ours))
    if isinstance(theirs, datetime.datetime):
        mine = ours.replace(tzinfo=None) if isinstance(ours, datetime.datetime) else ours
        if isinstance(mine, datetime.date) and not isinstance(mine, datetime.datetime):
            return mine == theirs.date()
        return mine == theirs.replace(tzinfo=None, microsecond=theirs.microsecond)
    if isinstance(theirs, datetime.time):
        return isinstance(ours, str) and datetime.time.fromisoformat(ours) == theirs
    if isinstance(theirs, (list, dict)) and isinstance(ours, str):
        return alike(plain_json(theirs), json.loads(ours))
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(same(one, other) for one, other in zip(theirs, ours))
    if isinstance(ours, str) and isinstance(theirs, (int, decimal.Decimal)):
        return decimal.Decimal(ours) == decimal.Decimal(theirs)
    return ours == theirs


def is_uuid(theirs, ours):
    return len(theirs) == 16 and ours == str(uuid.UUID(bytes=theirs))


def alike(theirs, ours):
    """Nested values in JSON. A map may be an object or a list of pairs; what JSON has no number for is a text."""
    if isinstance(theirs, list) and isinstance(ours, dict):
        pairs = [pair for pair in theirs if isinstance(pair, list) and len(pair) == 2]
        return len(pairs) == len(theirs) == len(ours) and all(
            str_key(key) in ours and alike(value, ours[str_key(key)]) for key, value in pairs
        )
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(theirs) == len(ours) and all(map(alike, theirs, ours))
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and theirs.keys() == ours.keys() and all(alike(theirs[k], ours[k]) for k in theirs)
    if isinstance(theirs, float) and not isinstance(ours, bool):
        return ours is not None and math.isclose(float(ours), theirs, rel_tol=1e-12)
    return theirs == ours


def str_key(key):
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def rows_of(folder):
    found = {}
    for row in polars.read_delta(str(folder)).iter_rows(named=True):
        if row["_s3_row"] in found:
            raise ValueError(f"row {row['_s3_row']} is there twice")
        found[row["_s3_row"]] = row
    return found


def compare(path, name, tables, problems):
    # In nanoseconds, its default, pyarrow wraps times of INT96 that are further off than the year 2262.
    theirs = pyarrow.parquet.read_table(path, coerce_int96_timestamp_unit="us")
    table, quarantine = rows_of(tables / name), rows_of(tables / f"{name}_quarantine")
    if set(table) | set(quarantine) != set(range(theirs.num_rows)) or set(table) & set(quarantine):
        problems.append(f"{path}: {theirs.num_rows} rows there, {len(table)} and {len(quarantine)} here")
        return
    ours = [column for column in next(iter(table.values()), {}) if column not in ("_s3_key", "_s3_version", "_s3_row", "_batch_id")]
    if table and len(ours) != theirs.num_columns:
        problems.append(f"{path}: columns are {theirs.column_names} there and {ours} here")
        return
    for index, column in enumerate(ours):
        values = as_python(theirs.column(index))
        for row, mine in table.items():
            if not same(values[row], mine[column]):
                problems.append(f"{path}: row {row} of {column} is {values[row]!r} there and {mine[column]!r} here")
                break


def as_python(column):
    """Nanoseconds that Python has no time for are cut: rows that would lose something are in quarantine."""
    kind = column.type
    if pyarrow.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pyarrow.timestamp("us", kind.tz), safe=False)
    if pyarrow.types.is_time64(kind) and kind.unit == "ns":
        column = column.cast(pyarrow.time64("us"), safe=False)
    return column.to_pylist()


def main(files, outcomes, tables):
    problems, compared, refused = [], 0, {}
    told = {line["import"]: line["file"] for line in map(json.loads, pathlib.Path(outcomes).read_text().splitlines())}
    for name, path in json.loads(pathlib.Path(files).read_text()).items():
        file = told.get(name) or {}
        if file.get("outcome") in ("failed", None):
            refused[path] = file.get("code")
            if file.get("code") not in REFUSALS:
                problems.append(f"{path}: refused as {file.get('code')}: {file.get('message')}")
            continue
        try:
            compare(path, name, tables, problems)
            compared += 1
        except (pyarrow.ArrowException, OSError, OverflowError) as error:
            # What pyarrow cannot read is no measure.
            refused[path] = f"pyarrow: {error}"[:200]
    shown = {pathlib.Path(path).name: code for path, code in refused.items()}
    print(json.dumps({"compared": compared, "refused": shown, "problems": problems[:20]}))


main(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]))
