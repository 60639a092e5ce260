"""A second implementation of S3, STS and IAM, for tests: moto in server mode, on a free port of the loopback device.

    moto_server.py [--port 0]

Prints one line, {"endpoint": "http://127.0.0.1:PORT"}, once it answers, then serves until standard input closes: so it
never outlives the test that started it, however that ends.

moto keeps no policies and no roles by default: sts:AssumeRole answers for any ARN and ignores the external
id, and any credentials may read any bucket. So no role has to be created first, and what a refused role or a wrong
external id looks like is tested against our own endpoint (crates/devcloud), which does check them.
"""

import argparse
import json
import logging
import sys

from moto.server import ThreadedMotoServer


def main():
    parser = argparse.ArgumentParser(description="Serves moto's S3, STS and IAM until standard input closes.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    options = parser.parse_args()

    # One line of log a request would bury what the tests have to say.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=options.port, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(json.dumps({"endpoint": f"http://{host}:{port}"}), flush=True)
    while sys.stdin.buffer.read(4096):
        pass
    server.stop()


if __name__ == "__main__":
    main()
