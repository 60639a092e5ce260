"""Holds a Delta table and its quarantine table against what a generator says that it wrote, row by row.

    check.py --manifest MANIFEST --table DIR [--quarantine DIR] [--id COLUMN] [--json] [--show N]

Shares no code with the pipeline: see README.md for the manifest and for what the words mean. Exit code 0: every row is
where it belongs, once and unaltered. 1: some are not. 2: the question could not be answered.
"""

import argparse
import json
import pathlib
import sqlite3
import sys
import tempfile

import deltalake

import rows as reading
from delta_log import Log, LogError

KINDS = ("lost", "doubled", "altered", "phantom", "misplaced")
SIDES = {"good": "table", "bad": "quarantine", "any": None}
PROVENANCE = ("_s3_key", "_s3_version", "_s3_row")
CHUNK = 10_000

TABLES = """
create table object (number integer primary key, key text not null, etag text, columns text not null);
create table expected (
    id text primary key, object integer not null, row integer not null, checksum text not null, side text
) without rowid;
create index expected_place on expected (row, object);
create index object_key on object (key);
create table found (
    id text, side text not null, key text, version text, row integer, object integer, altered text
);
"""


class Checker:
    """Everything by row is in a temporary database on disk, so memory does not grow with the number of rows."""

    def __init__(self, folder, id_column):
        self.id_column = id_column
        self.db = sqlite3.connect(pathlib.Path(folder) / "rows.sqlite3")
        self.db.executescript("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -65536;" + TABLES)
        self.log_problems = []
        self.files = {}

    def read_manifest(self, path):
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                try:
                    told = json.loads(line)
                except ValueError:
                    raise LogError(f"line {number + 1} of the manifest is not JSON") from None
                columns = json.dumps(told["columns"])
                self.db.execute("insert into object values (?, ?, ?, ?)", (number, told["key"], told.get("etag"), columns))
                entries = [(str(id), number, row, checksum, SIDES[side]) for row, id, checksum, side in told["rows"]]
                try:
                    self.db.executemany("insert into expected values (?, ?, ?, ?, ?)", entries)
                except sqlite3.IntegrityError:
                    raise LogError(f"the manifest uses an id of {told['key']} twice") from None

    def read_table(self, directory, side):
        log = Log(directory)
        state, problems = log.state()
        other = deltalake.DeltaTable(str(directory))
        mine = {str(log.path(name).resolve()) for name in state.files}
        theirs = {str(pathlib.Path(uri.removeprefix("file://")).resolve()) for uri in other.file_uris()}
        if other.version() != log.version or mine != theirs:
            problems.append(
                f"delta-rs sees version {other.version()} with {len(theirs)} files, this reader version {log.version} with {len(mine)}"
            )
        self.files[side] = len(mine)
        for add in state.files.values():
            batch = []
            for row in reading.of_file(log, state, add, problems):
                batch.append(self.judged(row, side))
                if len(batch) >= CHUNK:
                    self.keep(batch)
            self.keep(batch)
        self.log_problems += [f"{side}: {problem}" for problem in problems]

    def keep(self, batch):
        self.db.executemany("insert into found values (?, ?, ?, ?, ?, ?, ?)", batch)
        batch.clear()

    def judged(self, row, side):
        """A row as it was found, with what is wrong about its values."""
        key, version, ordinal = (row.get(name) for name in PROVENANCE)
        ordinal = None if ordinal is None else int(ordinal)
        id = row.get(self.id_column)
        expected = self.expected(id, key, ordinal)
        if expected is None:
            return (id, side, key, version, ordinal, None, None)
        id, number, at, checksum, wanted_key, columns = expected
        columns = json.loads(columns)
        own = set(columns) | set(PROVENANCE)
        if key != wanted_key or ordinal != at:
            altered = f"says that it is row {ordinal} of {key}"
        elif reading.checksum([(name, row.get(name)) for name in columns]) != checksum:
            altered = "has other values"
        elif side == "table" and (strange := [n for n, v in row.items() if v is not None and n not in own and n[0] != "_"]):
            altered = f"has values in columns that its file lacks: {', '.join(strange)}"
        else:
            altered = None
        return (id, side, key, version, ordinal, number, altered)

    def expected(self, id, key, ordinal):
        """By id; a row without a readable one (a record that cannot be split) by its place, if only one object has it."""
        query = """select e.id, e.object, e.row, e.checksum, o.key, o.columns
                   from expected e join object o on o.number = e.object where """
        if id is not None:
            return self.db.execute(query + "e.id = ?", (id,)).fetchone()
        found = self.db.execute(query + "o.key = ? and e.row = ?", (key, ordinal)).fetchmany(2)
        return found[0] if len(found) == 1 else None

    def queries(self):
        place = "o.key as key, e.row as row, e.id as id"
        joined = "from expected e join object o on o.number = e.object"
        return {
            "lost": f"select {place}, 'in neither table' {joined} where e.id not in (select id from found where id is not null)",
            "doubled": f"""select {place}, f.times || ' times: ' || f.sides {joined} join
                (select id, count(*) as times, group_concat(side, ' and ') as sides from found where object is not null
                 group by id having count(*) > 1) f on f.id = e.id""",
            "altered": "select key, row, id, altered from found where altered is not null",
            "phantom": "select key, row, id, 'in the ' || side from found where object is null",
            "misplaced": f"""select {place}, 'in the ' || f.side || ' and not in the ' || e.side {joined}
                join found f on f.id = e.id where e.side is not null and e.side <> f.side
                and not exists (select 1 from found g where g.id = e.id and g.side = e.side)""",
        }

    def mixed(self):
        """Rows of one object that claim to come from several versions, or the reverse."""
        several = """select o.key, -1, '', 'its rows name ' || count(distinct f.version) || ' object versions' from found f
            join object o on o.number = f.object group by f.object having count(distinct f.version) > 1"""
        shared = """select min(f.key), -1, '', 'version ' || f.version || ' stands for several objects' from found f
            where f.object is not null group by f.version having count(distinct f.object) > 1"""
        return self.db.execute(f"{several} union all {shared}").fetchall()

    def report(self, show):
        self.db.execute("create index found_id on found (id)")
        count = lambda query: self.db.execute(query).fetchone()[0]
        report = {
            "objects": count("select count(*) from object"),
            "expected": count("select count(*) from expected"),
            "in_table": count("select count(*) from found where side = 'table'"),
            "in_quarantine": count("select count(*) from found where side = 'quarantine'"),
            "files": self.files,
            "log": self.log_problems,
        }
        named = lambda found: [dict(zip(("key", "row", "id", "what"), one)) for one in found]
        for kind, query in self.queries().items():
            cursor = self.db.execute(query)
            first = cursor.fetchmany(show)
            report[kind] = {"count": len(first) + sum(1 for _ in cursor), "rows": named(first)}
        mixed = self.mixed()
        report["altered"]["count"] += len(mixed)
        report["altered"]["rows"] += named(mixed[:show])
        report["clean"] = not report["log"] and not any(report[kind]["count"] for kind in KINDS)
        return report


def told(report):
    head = f"{report['expected']} rows of {report['objects']} objects: {report['in_table']} in the table, "
    lines = [head + f"{report['in_quarantine']} in quarantine"]
    for kind in KINDS:
        lines.append(f"{kind}: {report[kind]['count']}")
        lines += [f"  {one['key']} row {one['row']} id {one['id']}: {one['what']}" for one in report[kind]["rows"]]
    lines += [f"log: {problem}" for problem in report["log"]]
    return "\n".join(lines + ["clean" if report["clean"] else "NOT CLEAN"])


def main():
    parser = argparse.ArgumentParser(description="Finds lost, doubled, altered, phantom and misplaced rows.")
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--quarantine", help="left out, or not there: no row may be in quarantine")
    parser.add_argument("--id", default="id", help="the column with the globally unique id (default: id)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", type=int, default=20, help="name at most this many rows of each kind (default: 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="checker-") as folder:
        checker = Checker(folder, options.id)
        checker.read_manifest(options.manifest)
        checker.read_table(options.table, "table")
        if options.quarantine and pathlib.Path(options.quarantine).is_dir():
            checker.read_table(options.quarantine, "quarantine")
        report = checker.report(options.show)
    print(json.dumps(report) if options.json else told(report))
    return 0 if report["clean"] else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LogError, OSError, KeyError, ValueError, sqlite3.Error) as error:
        print(f"check.py: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
