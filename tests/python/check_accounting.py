"""Holds tables and quarantine tables against what was written into files, row by row and value by value.

    check_accounting.py EXPECTED TABLES

EXPECTED is a JSON file: {import: {"columns": [[name, type, nullable], ...], "files": {key: {"header": [...], "records":
[[cell or null, ...], ...]}}}}. TABLES is the folder of the Delta tables. Which rows are good is decided here, without any
code of the connector. Prints {"in_table": n, "in_quarantine": n, "problems": [...]}.
"""

import datetime
import decimal
import json
import math
import pathlib
import re
import sys
import uuid

import polars

BAD = object()


def rows_of(folder):
    """All rows of a table, by (key, ordinal in the file)."""
    found, doubled = {}, []
    for row in polars.read_delta(str(folder)).iter_rows(named=True):
        identity = (row["_s3_key"], row["_s3_row"])
        if identity in found:
            doubled.append(identity)
        found[identity] = row
    return found, doubled


INTEGERS = {
    "Int8": (-(2**7), 2**7 - 1),
    "UInt16": (0, 2**16 - 1),
    "Int64": (-(2**63), 2**63 - 1),
    "UInt64": (0, 2**64 - 1),
    "Int128": (-(2**127), 2**127 - 1),
}


def judge(kind, nullable, cell):
    """The value that a cell stands for, or BAD."""
    is_text = kind in ("String", "FixedString(4)")
    if cell is None or (cell == "" and not is_text):
        return None if nullable else ("" if kind == "String" else BAD)
    text = cell.strip(" \t")
    if kind == "String":
        return cell
    if kind == "FixedString(4)":
        return cell if len(cell.encode()) <= 4 else BAD
    if kind in INTEGERS:
        low, high = INTEGERS[kind]
        return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) and low <= int(text) <= high else BAD
    if kind == "Float64":
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
            return BAD
        return float(text) if math.isfinite(float(text)) else BAD
    if kind == "Decimal(9, 2)":
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", text):
            return BAD
        value = decimal.Decimal(text)
        fits = value == value.quantize(decimal.Decimal("0.01")) and abs(value) < 10**7
        return value if fits else BAD
    if kind == "Date":
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return BAD
        try:
            return datetime.date.fromisoformat(text)
        except ValueError:
            return BAD
    if kind == "DateTime64(3)":
        match = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?(Z?)", text)
        if not match:
            return BAD
        fraction = (match[3] or ".0")[1:].rstrip("0")
        if len(fraction) > 3:
            return BAD
        try:
            whole = datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
        except ValueError:
            return BAD
        return whole + datetime.timedelta(milliseconds=int(fraction.ljust(3, "0")))
    if kind == "Bool":
        truth = {"true": True, "t": True, "yes": True, "y": True, "1": True}
        falsehood = {"false": False, "f": False, "no": False, "n": False, "0": False}
        return {**truth, **falsehood}.get(text.lower(), BAD)
    if kind == "UUID":
        if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
            return BAD
        return str(uuid.UUID(text))
    if kind.startswith("Enum8"):
        return cell if cell in re.findall(r"'([^']*)'", kind) else BAD
    raise ValueError(f"no rule for {kind}")


def same(kind, wanted, found):
    if wanted is None or found is None:
        return wanted is None and found is None
    if kind == "Int128":
        return found == str(wanted)
    if kind == "Float64":
        return float(found) == wanted
    return found == wanted


def check_record(identity, columns, header, record, table, quarantine, problems):
    """Where a record is; says what is wrong about it."""
    kinds = {name: (kind, nullable) for name, kind, nullable in columns}
    lacking = [name for name in kinds if name not in header]
    judged = {}
    if len(record) == len(header):
        for name, cell in zip(header, record):
            kind, nullable = kinds.get(name, ("String", True))
            judged[name] = judge(kind, nullable, cell)
    good = len(record) == len(header) and not lacking and BAD not in judged.values()
    in_table, in_quarantine = table.get(identity), quarantine.get(identity)
    if (in_table is not None) != good or (in_quarantine is not None) == good:
        where = f"table: {in_table is not None}, quarantine: {in_quarantine is not None}"
        problems.append(f"{identity}: {record} under {header} is {'good' if good else 'bad'}, but {where}")
        return
    if good:
        for name, wanted in judged.items():
            kind = kinds.get(name, ("String", True))[0]
            if not same(kind, wanted, in_table[name]):
                problems.append(f"{identity}: {name} is {in_table[name]!r} instead of {wanted!r}")
        return
    if not in_quarantine["c__error"] or len(in_quarantine["c__error"]) != len(in_quarantine["c__error_column"]):
        problems.append(f"{identity}: no error, or errors without columns: {in_quarantine}")
    for name, cell in zip(header, record):
        if name in in_quarantine and in_quarantine[name] not in (cell, "" if cell is None else cell):
            problems.append(f"{identity}: quarantine has {name}={in_quarantine[name]!r} instead of {cell!r}")
    for name in lacking:
        if in_quarantine[name] is not None:
            problems.append(f"{identity}: quarantine has {name}, which the file lacks")


def main(expected, tables):
    problems, counts = [], {"in_table": 0, "in_quarantine": 0}
    for name, wanted in json.loads(pathlib.Path(expected).read_text()).items():
        table, doubled = rows_of(tables / name)
        quarantine, doubled_bad = rows_of(tables / f"{name}_quarantine")
        problems += [f"{name}: {identity} is there twice" for identity in doubled + doubled_bad]
        counts["in_table"] += len(table)
        counts["in_quarantine"] += len(quarantine)
        known = set()
        for key, file in wanted["files"].items():
            for ordinal, record in enumerate(file["records"]):
                known.add((key, ordinal))
                check_record((key, ordinal), wanted["columns"], file["header"], record, table, quarantine, problems)
        problems += [f"{name}: {identity} was never written" for identity in (table.keys() | quarantine.keys()) - known]
    print(json.dumps({**counts, "problems": problems[:20]}))


main(sys.argv[1], pathlib.Path(sys.argv[2]))
