"""Plants every defect that the checker is there for into a good table, and demands that it is found and named."""

import datetime
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import deltalake
import pyarrow

import rows as reading

HERE = pathlib.Path(__file__).parent
IDS = {"a.csv": range(1000, 1010), "b.csv": range(2000, 2010)}
BAD = {1003, 2009}


def text(id):
    return f"text of {id}"


def manifest_lines():
    for key, ids in IDS.items():
        lines = []
        for row, id in enumerate(ids):
            sum = reading.checksum([("id", str(id)), ("text", text(id))])
            lines.append([row, id, sum, "bad" if id in BAD else "good"])
        yield json.dumps({"key": key, "etag": f"etag of {key}", "columns": ["id", "text"], "rows": lines})


def good_rows():
    """(key, ordinal, id, text) of every row, by table."""
    found = {"table": [], "quarantine": []}
    for key, ids in IDS.items():
        for row, id in enumerate(ids):
            found["quarantine" if id in BAD else "table"].append((key, row, id, text(id)))
    return found


def arrow(found, ids):
    columns = {
        "id": pyarrow.array([id if ids is pyarrow.int64() else str(id) for _, _, id, _ in found], ids),
        "text": pyarrow.array([text for *_, text in found], pyarrow.string()),
        "_s3_key": pyarrow.array([key for key, *_ in found], pyarrow.string()),
        "_s3_version": pyarrow.array([f"version of {key}" for key, *_ in found], pyarrow.string()),
        "_s3_row": pyarrow.array([row for _, row, *_ in found], pyarrow.int64()),
    }
    return pyarrow.table(columns)


class Planted(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "manifest").write_text("".join(line + "\n" for line in manifest_lines()))

    def write(self, found):
        """Each table in two commits with two files."""
        for name, ids in (("table", pyarrow.int64()), ("quarantine", pyarrow.string())):
            directory = self.folder / name
            shutil.rmtree(directory, ignore_errors=True)
            half = len(found[name]) // 2
            for part in (found[name][:half], found[name][half:]):
                deltalake.write_deltalake(str(directory), arrow(part, ids), mode="append")

    def check(self, code, arguments=()):
        command = [sys.executable, str(HERE / "check.py"), "--json", "--manifest", str(self.folder / "manifest")]
        command += ["--table", str(self.folder / "table"), "--quarantine", str(self.folder / "quarantine"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout) if code < 2 else done.stderr

    def expect(self, **kinds):
        """Exactly these defects, each with the ids that it names."""
        report = self.check(1 if kinds else 0)
        named = {kind: sorted(row["id"] for row in report[kind]["rows"]) for kind in ("lost", "doubled", "altered", "phantom", "misplaced")}
        self.assertEqual({kind: ids for kind, ids in named.items() if ids}, kinds, report)
        for kind in kinds:
            self.assertEqual(report[kind]["count"], len(kinds[kind]))
            self.assertTrue(all(row["key"] and row["row"] is not None for row in report[kind]["rows"]), report)
        return report

    def planted(self, change):
        found = good_rows()
        change(found)
        self.write(found)

    def test_a_good_table_is_clean(self):
        self.planted(lambda found: None)
        report = self.expect()
        self.assertEqual((report["in_table"], report["in_quarantine"], report["expected"]), (18, 2, 20))
        self.assertEqual(report["files"], {"table": 2, "quarantine": 2})

    def test_a_dropped_row_is_lost(self):
        self.planted(lambda found: found["table"].pop(4))
        self.expect(lost=["1005"])

    def test_a_dropped_bad_row_is_lost(self):
        self.planted(lambda found: found["quarantine"].pop(0))
        self.expect(lost=["1003"])

    def test_a_doubled_row(self):
        self.planted(lambda found: found["table"].append(found["table"][0]))
        self.expect(doubled=["1000"])

    def test_an_altered_value(self):
        self.planted(lambda found: found["table"].__setitem__(7, ("a.csv", 8, 1008, "text of 1O08")))
        self.expect(altered=["1008"])

    def test_a_value_that_became_null(self):
        self.planted(lambda found: found["table"].__setitem__(0, ("a.csv", 0, 1000, None)))
        self.expect(altered=["1000"])

    def test_another_ordinal_and_another_key(self):
        self.planted(lambda found: found["table"].__setitem__(0, ("a.csv", 1, 1000, text(1000))))
        self.expect(altered=["1000"])
        self.planted(lambda found: found["table"].__setitem__(0, ("b.csv", 0, 1000, text(1000))))
        report = self.check(1)
        self.assertEqual([row["id"] for row in report["altered"]["rows"] if row["row"] >= 0], ["1000"])
        self.assertTrue(any("several objects" in row["what"] for row in report["altered"]["rows"]), report)

    def test_a_phantom(self):
        self.planted(lambda found: found["table"].append(("a.csv", 99, 7777, "who?")))
        self.expect(phantom=["7777"])

    def test_a_row_in_both_tables(self):
        self.planted(lambda found: found["quarantine"].append(found["table"][2]))
        self.expect(doubled=["1002"])

    def test_a_row_in_the_wrong_table(self):
        self.planted(lambda found: found["quarantine"].append(found["table"].pop(2)))
        self.expect(misplaced=["1002"])
        self.planted(lambda found: found["table"].append(found["quarantine"].pop(0)))
        self.expect(misplaced=["1003"])

    def test_several_defects_at_once_are_told_apart(self):
        def change(found):
            found["table"].append(found["table"][0])
            found["table"].append(("c.csv", 0, 7777, "who?"))
            del found["table"][3]

        self.planted(change)
        self.expect(lost=["1004"], doubled=["1000"], phantom=["7777"])

    def test_a_column_that_the_file_lacks_must_be_null(self):
        self.planted(lambda found: None)
        more = arrow([("a.csv", 0, 1000, text(1000))], pyarrow.int64()).append_column("extra", pyarrow.array(["from nowhere"]))
        found = good_rows()
        found["table"] = found["table"][1:]
        self.write(found)
        deltalake.write_deltalake(str(self.folder / "table"), more, mode="append", schema_mode="merge")
        report = self.expect(altered=["1000"])
        self.assertIn("extra", report["altered"]["rows"][0]["what"])

    def nested(self, tags, place):
        """A table of one row whose file has a list and a struct, held against what was written."""
        key, written = "n.csv", [("id", "1"), ("tags", '["1",null,"ü"]'), ("place", '{"x":"1.5","at":["2024-02-29"]}')]
        told = {"key": key, "etag": "e", "columns": [name for name, _ in written]}
        told["rows"] = [[0, 1, reading.checksum(written), "good"]]
        (self.folder / "manifest").write_text(json.dumps(told) + "\n")
        shutil.rmtree(self.folder / "table", ignore_errors=True)
        kind = pyarrow.struct([("x", pyarrow.float64()), ("at", pyarrow.list_(pyarrow.date32()))])
        columns = {
            "id": pyarrow.array([1], pyarrow.int64()),
            "tags": pyarrow.array([tags], pyarrow.list_(pyarrow.string())),
            "place": pyarrow.array([place], kind),
            "_s3_key": pyarrow.array([key]),
            "_s3_version": pyarrow.array(["version"]),
            "_s3_row": pyarrow.array([0], pyarrow.int64()),
        }
        deltalake.write_deltalake(str(self.folder / "table"), pyarrow.table(columns))

    def test_values_in_lists_and_structs_that_are_altered(self):
        place = {"x": 1.5, "at": [datetime.date(2024, 2, 29)]}
        self.nested(["1", None, "ü"], place)
        self.expect()
        for tags in (["1", "", "ü"], ["1", None], [None, "1", "ü"], [], None):
            self.nested(tags, place)
            self.expect(altered=["1"])
        for other in ({**place, "x": 1.25}, {**place, "at": [None]}, None):
            self.nested(["1", None, "ü"], other)
            self.expect(altered=["1"])

    def test_a_log_that_lies_about_a_data_file(self):
        self.planted(lambda found: None)
        file = next((self.folder / "table").glob("*.parquet"))
        data = file.read_bytes()
        file.unlink()
        self.assertIn("not on disk", " ".join(self.check(1)["log"]))
        file.write_bytes(data)
        log = self.folder / "table/_delta_log/00000000000000000001.json"
        log.write_text(log.read_text().replace('\\"numRecords\\":9', '\\"numRecords\\":8'))
        self.assertIn("the log says 8", " ".join(self.check(1)["log"]))

    def test_checkpoints_are_replayed_too_and_may_not_differ(self):
        self.planted(lambda found: None)
        deltalake.DeltaTable(str(self.folder / "table")).create_checkpoint()
        deltalake.write_deltalake(str(self.folder / "table"), arrow([("c.csv", 5, 7777, "new")], pyarrow.int64()), mode="append")
        self.expect(phantom=["7777"])
        # The first commit names another file than the checkpoint that comes after it.
        log = self.folder / "table/_delta_log/00000000000000000000.json"
        lines = [line for line in log.read_text().splitlines() if '"add"' not in line]
        log.write_text("\n".join(lines) + "\n")
        self.assertIn("other files", " ".join(self.check(1)["log"]))

    def test_a_gap_in_the_log_is_no_answer(self):
        self.planted(lambda found: None)
        (self.folder / "table/_delta_log/00000000000000000000.json").unlink()
        self.assertIn("neither a whole checkpoint nor version 0", self.check(2))

    def test_removed_files_do_not_count(self):
        self.planted(lambda found: found["table"].append(found["table"][0]))
        deltalake.DeltaTable(str(self.folder / "table")).optimize.compact()
        self.expect(doubled=["1000"])
        self.planted(lambda found: None)
        deltalake.DeltaTable(str(self.folder / "table")).optimize.compact()
        self.assertEqual(self.expect()["files"]["table"], 1)


if __name__ == "__main__":
    unittest.main()
