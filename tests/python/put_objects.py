"""Uploads a folder to an S3 endpoint.

    put_objects.py ENDPOINT BUCKET FOLDER

Creates the bucket if it is missing and puts every file below FOLDER under its path relative to it (with `/`), in the
order of their paths. Prints one JSON object: {"bucket": ..., "objects": COUNT, "bytes": SUM}. The credentials are made
up, so it is of use against test endpoints only.
"""

import argparse
import json
import pathlib

import boto3
from botocore.config import Config


def main():
    parser = argparse.ArgumentParser(description="Uploads a folder to an S3 test endpoint.")
    parser.add_argument("endpoint")
    parser.add_argument("bucket")
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")

    s3 = boto3.client(
        "s3",
        endpoint_url=options.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    if options.bucket not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=options.bucket)
    count = size = 0
    for path in sorted(path for path in options.folder.rglob("*") if path.is_file()):
        body = path.read_bytes()
        s3.put_object(Bucket=options.bucket, Key=path.relative_to(options.folder).as_posix(), Body=body)
        count, size = count + 1, size + len(body)
    print(json.dumps({"bucket": options.bucket, "objects": count, "bytes": size}))


if __name__ == "__main__":
    main()
