"""Reads a Delta table in a bucket, over S3, with an engine that is not ours.

    s3_rows.py ENDPOINT TABLE_URI --role ARN --external-id ID --engine deltalake|polars COLUMN...

    {"version": 3, "columns": ["id", ...], "rows": [["a.csv", 0, ...], ...]}

`columns` are all of the table's; `rows` are the values of the columns that were asked for, in the order of the values.
The role is assumed with the keys in CALLER_KEY and CALLER_SECRET; nothing else is taken from the environment.

Exit code 1 and a message on standard error if the table cannot be read.
"""

import argparse
import json
import os
import sys

import boto3
import deltalake
import polars
from botocore.config import Config


def session_keys(options):
    sts = boto3.client(
        "sts",
        endpoint_url=options.endpoint,
        region_name="us-east-1",
        aws_access_key_id=os.environ["CALLER_KEY"],
        aws_secret_access_key=os.environ["CALLER_SECRET"],
        config=Config(proxies={}),
    )
    answer = sts.assume_role(RoleArn=options.role, RoleSessionName="reader-of-tables", ExternalId=options.external_id)
    keys = answer["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "AWS_ENDPOINT_URL": options.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
    }


def by_deltalake(table, columns):
    engine = deltalake.QueryBuilder().register("t", table)
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    found = engine.execute(f"select {names} from t").read_all()
    values = [[value.as_py() for value in found.column(index)] for index in range(found.num_columns)]
    return [list(row) for row in zip(*values)]


def by_polars(uri, storage, columns):
    frame = polars.scan_delta(uri, storage_options=storage).select(columns).collect()
    return [list(row) for row in frame.iter_rows()]


def main():
    parser = argparse.ArgumentParser(description="Reads a Delta table over S3 with an engine that is not ours.")
    parser.add_argument("endpoint")
    parser.add_argument("table_uri")
    parser.add_argument("columns", nargs="+", metavar="COLUMN")
    parser.add_argument("--role", required=True)
    parser.add_argument("--external-id", required=True)
    parser.add_argument("--engine", required=True, choices=["deltalake", "polars"])
    options = parser.parse_args()

    storage = session_keys(options)
    table = deltalake.DeltaTable(options.table_uri, storage_options=storage)
    if options.engine == "deltalake":
        rows = by_deltalake(table, options.columns)
    else:
        rows = by_polars(options.table_uri, storage, options.columns)
    # NULL has no order among values of a type.
    rows.sort(key=lambda row: [(value is None, str(value)) for value in row])
    columns = [field.name for field in table.schema().fields]
    print(json.dumps({"version": table.version(), "columns": columns, "rows": rows}, default=str))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(f"s3_rows.py: {type(error).__name__}: {error}")
