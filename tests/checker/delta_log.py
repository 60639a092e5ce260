"""The live data files of a Delta table, by a replay of its log that shares no code with any Delta library.

Reads commits (JSON) and classic checkpoints (Parquet, in one or several parts). What it does not know (deletion vectors,
column mapping, checkpoints of the second kind) it refuses by name, since a file list that is guessed proves nothing.
"""

import json
import pathlib
import re
import urllib.parse

import pyarrow.parquet

COMMIT = re.compile(r"^(\d{20})\.json$")
CHECKPOINT = re.compile(r"^(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet$")
KNOWN_FEATURES = {"appendOnly", "invariants", "timestampNtz", "domainMetadata", "inCommitTimestamp"}


class LogError(Exception):
    """The log is broken, or uses something that this reader does not know."""


class State:
    """What a log says up to a version."""

    def __init__(self):
        self.files = {}
        self.schema = {}
        self.partition_columns = []
        self.transactions = {}

    def apply(self, action, version):
        kind, body = next(((k, v) for k, v in action.items() if v is not None), (None, None))
        if kind == "add":
            if body.get("deletionVector"):
                raise LogError(f"version {version}: {body['path']} has a deletion vector")
            self.files[body["path"]] = body
        elif kind == "remove":
            self.files.pop(body["path"], None)
        elif kind == "metaData":
            if (body.get("configuration") or {}).get("delta.columnMapping.mode", "none") != "none":
                raise LogError(f"version {version}: the table maps its columns")
            self.schema = {field["name"]: field["type"] for field in json.loads(body["schemaString"])["fields"]}
            self.partition_columns = list(body.get("partitionColumns") or [])
        elif kind == "protocol":
            features = set(body.get("readerFeatures") or [])
            if features - KNOWN_FEATURES:
                raise LogError(f"version {version}: unknown features {sorted(features - KNOWN_FEATURES)}")
        elif kind == "txn":
            self.transactions[body["appId"]] = body["version"]


def plain(value):
    """What a checkpoint holds, in the form that a commit has it: maps are lists of pairs in Parquet."""
    if isinstance(value, list) and all(isinstance(one, tuple) and len(one) == 2 for one in value):
        return dict(value)
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value


class Log:
    def __init__(self, table):
        self.table = pathlib.Path(table)
        self.folder = self.table / "_delta_log"
        if not self.folder.is_dir():
            raise LogError(f"{table} is no Delta table: it has no _delta_log")
        self.commits, self.checkpoints = {}, {}
        for path in self.folder.iterdir():
            if match := COMMIT.match(path.name):
                self.commits[int(match[1])] = path
            elif match := CHECKPOINT.match(path.name):
                self.checkpoints.setdefault(int(match[1]), []).append((int(match[3] or 1), path))
            elif ".checkpoint." in path.name:
                raise LogError(f"{path.name} is a checkpoint of the second kind")
        self.version = max(list(self.commits) + list(self.checkpoints), default=-1)
        if self.version < 0:
            raise LogError(f"{self.folder} is empty")

    def complete_checkpoints(self):
        whole = [version for version, parts in self.checkpoints.items() if len(parts) == parts[0][0]]
        return sorted(whole, reverse=True)

    def replay(self, checkpoint):
        """The state at the newest version, from a checkpoint on; from the first commit if that is None."""
        state, first = State(), 0
        if checkpoint is not None:
            for _, path in sorted(self.checkpoints[checkpoint], key=lambda part: part[1].name):
                for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
                    for action in batch.to_pylist():
                        state.apply({kind: plain(body) for kind, body in action.items()}, checkpoint)
            first = checkpoint + 1
        for version in range(first, self.version + 1):
            if version not in self.commits:
                raise LogError(f"version {version} is missing from the log")
            for line in self.commits[version].read_text().splitlines():
                try:
                    state.apply(json.loads(line), version)
                except ValueError as error:
                    raise LogError(f"version {version} is not JSON: {error}") from None
        return state

    def state(self):
        """The state, with what is wrong with the log: each way to replay it has to lead to the same files."""
        starts = self.complete_checkpoints()
        if 0 in self.commits:
            starts.append(None)
        if not starts:
            raise LogError("neither a whole checkpoint nor version 0 is there")
        states = [(start, self.replay(start)) for start in starts if start is None or self.follows(start)]
        (_, first), problems = states[0], []
        for start, other in states[1:]:
            named = "the first commit" if start is None else f"checkpoint {start}"
            if other.files.keys() != first.files.keys():
                problems.append(f"replayed from {named} the log has other files: {sorted(other.files.keys() ^ first.files.keys())[:3]}")
            if other.transactions != first.transactions:
                problems.append(f"replayed from {named} the log has other transactions")
        return first, problems

    def follows(self, checkpoint):
        return all(version in self.commits for version in range(checkpoint + 1, self.version + 1))

    def path(self, name):
        """Where a data file is: paths in the log are URL-encoded."""
        decoded = urllib.parse.unquote(name)
        if "://" in decoded or decoded.startswith("/") or ".." in decoded.split("/"):
            raise LogError(f"the data file {name} is outside the table")
        return self.table / decoded
