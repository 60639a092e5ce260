"""Writes a Parquet file with one row that has a value of each type that is more than a plain number or text.

    typed_file.py FILE

Prints {"rows": 1}.
"""

import datetime
import decimal
import json
import sys
import uuid

import pyarrow
import pyarrow.parquet

NESTED = pyarrow.struct([("sku", pyarrow.string()), ("price", pyarrow.decimal128(6, 2))])

COLUMNS = {
    "id": (pyarrow.uint32(), 3),
    "big": (pyarrow.uint64(), 18446744073709551615),
    "wide": (pyarrow.decimal256(50, 2), decimal.Decimal("123456789012345678901234567890123456789012345678.90")),
    "fine": (pyarrow.timestamp("ns", "UTC"), datetime.datetime(2024, 1, 1, 0, 0, 0, 123456, datetime.UTC)),
    "uid": (pyarrow.uuid(), uuid.UUID("abababab-abab-abab-abab-abababababab").bytes),
    "address": (pyarrow.string(), "2001:0db8::0001"),
    "kind": (pyarrow.string(), None),
    "label": (pyarrow.string(), "b"),
    "code": (pyarrow.string(), "ab"),
    "doc": (pyarrow.string(), '{"k":[1.0]}'),
    "tags": (pyarrow.list_(pyarrow.int64()), [1, None]),
    "matrix": (pyarrow.list_(pyarrow.list_(pyarrow.int8())), [[1, None], []]),
    "counts": (pyarrow.map_(pyarrow.string(), pyarrow.uint64()), [("b", 1), ("a", 18446744073709551615)]),
    "place": (
        pyarrow.struct([("at", pyarrow.timestamp("ms")), ("ok", pyarrow.bool_())]),
        {"at": datetime.datetime(2024, 1, 1, 0, 0, 0, 500000), "ok": None},
    ),
    "pair": (pyarrow.struct([("first", pyarrow.int8()), ("second", pyarrow.string())]), {"first": -1, "second": "x"}),
    "lines": (
        pyarrow.list_(NESTED),
        [{"sku": "a", "price": decimal.Decimal("1.50")}, {"sku": "it's", "price": decimal.Decimal("-0.05")}],
    ),
}

table = pyarrow.table({name: pyarrow.array([value], ty) for name, (ty, value) in COLUMNS.items()})
pyarrow.parquet.write_table(table, sys.argv[1])
print(json.dumps({"rows": table.num_rows}))
