"""Rows of a Delta table, one batch in memory at a time, with every value as text."""

import datetime
import decimal
import hashlib
import json

import pyarrow.parquet

from delta_log import LogError

BATCH_ROWS = 20_000


def text_of(value):
    """A value in the one spelling that the manifest uses; None is NULL."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        if value.tzinfo:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(nested(value), ensure_ascii=False, separators=(",", ":"))
    raise LogError(f"no spelling for a value of type {type(value).__name__}")


def nested(value):
    """A list or struct as JSON has it: lists and objects, with every value in them as text or null."""
    if isinstance(value, dict):
        return {name: nested(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [nested(one) for one in value]
    return text_of(value)


def checksum(named):
    """Of (name, text or None) pairs, in the order of the file."""
    digest = hashlib.sha256()
    for name, text in named:
        if text is None:
            digest.update(f"{name}=N;".encode())
        else:
            data = text.encode()
            digest.update(f"{name}=V{len(data)}:".encode() + data + b";")
    return digest.hexdigest()[:16]


def of_file(log, state, add, problems):
    """Yields the rows of one data file as dictionaries of texts, and holds the file against what the log says of it."""
    path = log.path(add["path"])
    if not path.is_file():
        problems.append(f"{add['path']} is in the log and not on disk")
        return
    if path.stat().st_size != add["size"]:
        problems.append(f"{add['path']} has {path.stat().st_size} bytes, the log says {add['size']}")
    constants = {name: (add.get("partitionValues") or {}).get(name) for name in state.partition_columns}
    count = 0
    with pyarrow.parquet.ParquetFile(path) as file:
        wanted = [name for name in file.schema_arrow.names if name in state.schema]
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
            columns = [batch.column(name).to_pylist() for name in wanted]
            for values in zip(*columns):
                row = dict.fromkeys(state.schema)
                row.update(zip(wanted, map(text_of, values)))
                row.update(constants)
                count += 1
                yield row
    told = json.loads(add["stats"]).get("numRecords") if add.get("stats") else None
    if told is not None and told != count:
        problems.append(f"{add['path']} has {count} rows, the log says {told}")
