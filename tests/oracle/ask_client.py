"""Asks a public client what it makes of datafiles.

    ask_client.py forward|classic FOLDER < SECRETS

Parses every .datasource and .connection below FOLDER with the client that is installed in the venv of the interpreter,
in one process, and prints one JSON object a line, in the order of the names:

    {"file": "engines/merge_tree.datasource", "accepted": false, "error": "...", "line": 3, "later": null, "columns": []}

`line` is null if the client names none. `later` is what the client's own code refuses behind its parser, when it makes
a table of the file: the checks of the engine and, for Classic, of the import. It is null if nothing is refused, or if
the file is not accepted in the first place. `columns` are the names of those of SCHEMA, if it is accepted. Classic has no connections of the kind S3, so it is not asked about
.connection files.

SECRETS is a JSON object of what `tb_secret` finds. No client is told of a server: nothing here reaches the network.
"""

import asyncio
import contextlib
import io
import json
import pathlib
import re
import sys


class Nowhere:
    """Stands where a client keeps its connection to the service: every connection exists, no table does yet."""

    def __init__(self, missing):
        self.missing = missing

    async def get_connector(self, name, service=None, **_):
        return {"id": "id", "name": name, "service": service or "s3_iamrole"}

    async def get_connection(self, **_):
        return {"id": "id", "name": "kafka"}

    async def get_datasource(self, *_, **__):
        raise self.missing()

    async def datasource_create_from_definition(self, _):
        return {"datasource": {}}

    async def get_token_by_name(self, _):
        return None

    async def create_token(self, *_):
        return {}

    async def sql_get_used_tables(self, *_, **__):
        return []

    async def replace_tables(self, query, *_):
        return query


def check_engine(build, node):
    """What the client's copy of the service's rules says of an engine."""
    engine = node.get("engine")
    if engine and engine["type"]:
        arguments = {f"engine_{name}": value for name, value in engine["args"]}
        build(engine["type"], arguments, columns=node.get("columns", []))


class Forward:
    def __init__(self, secrets):
        from tinybird.ch_utils.engine import engine_full_from_dict
        from tinybird.datafile.parse_connection import parse_connection
        from tinybird.datafile.parse_datasource import parse_datasource

        self.build = engine_full_from_dict
        self.secrets = secrets
        self.parsers = {".datasource": parse_datasource, ".connection": parse_connection}

    def reads(self, path):
        return path.suffix in self.parsers

    def parse(self, path):
        return self.parsers[path.suffix](str(path), secrets=self.secrets).datafile

    def go_on(self, path, document):
        if path.suffix == ".datasource":
            check_engine(self.build, document.nodes[0])


class Classic:
    def __init__(self, _):
        from tinybird import client, datafile_common
        from tinybird.ch_utils.engine import engine_full_from_dict

        self.build = engine_full_from_dict
        self.code = datafile_common
        self.service = Nowhere(lambda: client.DoesNotExistException("there is none"))

    def reads(self, path):
        return path.suffix == ".datasource"

    def parse(self, path):
        return self.code.parse_datasource(str(path))

    def go_on(self, path, document):
        check_engine(self.build, document.nodes[0])
        asyncio.run(self.push(path))

    async def push(self, path):
        for resource in await self.code.process_file(str(path), self.service):
            await self.code.new_ds(resource, self.service, None)


def told(error):
    """The message of an exception without colours, on one line."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(text)).split())[:300]


def line_of(error):
    line = getattr(error, "lineno", None)
    if not isinstance(line, int):
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else None
    return line if line and line > 0 else None


def ask(client, path):
    answer = {"accepted": False, "error": None, "line": None, "later": None, "columns": []}
    # The clients print tracebacks and notes of their own.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            document = client.parse(path)
        except Exception as error:
            return answer | {"error": told(error), "line": line_of(error)}
        columns = document.nodes[0].get("columns") if document.nodes else None
        answer |= {"accepted": True, "columns": [column["name"] for column in columns or []]}
        try:
            client.go_on(path, document)
        except Exception as error:
            if "Nowhere" in str(error):
                raise  # Something is missing up there: that is no verdict.
            return answer | {"later": told(error)}
    return answer


def main():
    kind, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    client = {"forward": Forward, "classic": Classic}[kind](json.load(sys.stdin))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and client.reads(path):
            print(json.dumps({"file": path.relative_to(folder).as_posix()} | ask(client, path)))


if __name__ == "__main__":
    main()
