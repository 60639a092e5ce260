"""Compares what was put into a bucket with what two tables hold, row by row; answers one question for each line of input.

    {"table": DIR, "quarantine": DIR, "files": [{"key": "a.csv", "rows": 40, "first": 1000, "bad": [3, 17], "expired": false}, ...]}

Row `n` of a file, counted from 0, has the id `first + n`; the rows in `bad` belong into quarantine. The
others are not in the table any more if the file has expired. A directory without a table holds no rows. The answer, one
line of JSON:

    {"lost": [...], "doubled": [...], "altered": [...], "misplaced": [...], "phantom": [...],   "key row" each, ten at most
     "complete": ["a.csv", ...]}                        files of which every row is in its place

The tables are read by Polars, which has a Parquet reader of its own; its list of files comes from delta-rs.
"""

import json
import os
import sys

import polars


def rows_of(directory):
    if not directory or not os.path.isdir(os.path.join(directory, "_delta_log")):
        return []
    if not any(name.endswith(".json") for name in os.listdir(os.path.join(directory, "_delta_log"))):
        return []
    frame = polars.scan_delta(directory).select("_s3_key", "_s3_row", polars.col("id").cast(polars.String))
    return frame.collect().rows()


def compare(question):
    files = {file["key"]: file for file in question["files"]}
    bad = {key: set(file["bad"]) for key, file in files.items()}
    found, seen = {"lost": [], "doubled": [], "altered": [], "misplaced": [], "phantom": []}, {}
    for place in ["table", "quarantine"]:
        for key, row, id_ in rows_of(question.get(place)):
            name = f"{key} {row}"
            file = files.get(key)
            gone = file is not None and file["expired"] and row not in bad[key]
            if file is None or gone or not 0 <= row < file["rows"]:
                found["phantom"].append(name)
                continue
            if (key, row) in seen:
                found["doubled"].append(name)
            seen[key, row] = place
            if id_ != str(file["first"] + row):
                found["altered"].append(name)
            if place != ("quarantine" if row in bad[key] else "table"):
                found["misplaced"].append(name)
    complete = []
    for key, file in files.items():
        expected = sorted(bad[key]) if file["expired"] else range(file["rows"])
        lost = [row for row in expected if (key, row) not in seen]
        found["lost"] += [f"{key} {row}" for row in lost]
        if not lost:
            complete.append(key)
    return {**{what: sorted(names)[:10] for what, names in found.items()}, "complete": sorted(complete)}


for line in sys.stdin:
    try:
        answer = compare(json.loads(line))
    except BaseException as error:  # Polars panics over files that are cut short, and says so with one of these.
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
