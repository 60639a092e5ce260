"""Prints the partition columns of a Delta table and the values of the first one, as delta-rs sees them."""

import json
import sys

import deltalake

table = deltalake.DeltaTable(sys.argv[1])
columns = table.metadata().partition_columns
values = sorted({one[columns[0]] for one in table.partitions()}) if columns else []
print(json.dumps({"columns": columns, "values": values}))
