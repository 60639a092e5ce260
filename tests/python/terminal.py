"""Runs a program at a terminal of its own and answers what it asks.

Standard input: {"command": [..], "answers": [[what to wait for, what to type], ..]}. Something is waited for behind what
was waited for before. Typed is a line, or nothing but a signal: "SIGKILL" is sent to the program, "^C" and "^D" are
keys. Prints {"screen": all that it printed, "code": its exit code, negative for a signal}.
"""

import json
import os
import pty
import select
import signal
import sys
import time

DEADLINE = 60


def fail(why, screen):
    sys.exit(f"{why}; the screen is:\n{screen}")


def main():
    task = json.load(sys.stdin)
    child, terminal = pty.fork()
    if child == 0:
        # Whoever runs the tests in the background has it ignored, which would be inherited.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(task["command"][0], task["command"])
    answers = list(task["answers"])
    raw, seen, deadline = b"", 0, time.monotonic() + DEADLINE
    while True:
        screen = raw.decode("utf-8", "replace").replace("\r\n", "\n")
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            fail(f"waited in vain for {answers[0][0] if answers else 'the end'!r}", screen)
        if answers and (found := screen.find(answers[0][0], seen)) >= 0:
            seen = found + len(answers[0][0])
            typed = answers.pop(0)[1]
            if typed == "SIGKILL":
                os.kill(child, signal.SIGKILL)
            else:
                keys = {"^C": b"\x03", "^D": b"\x04"}.get(typed, typed.encode() + b"\n")
                os.write(terminal, keys)
            continue
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says so where the program has ended.
            piece = b""
        if not piece:
            break
        raw += piece
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    screen = raw.decode("utf-8", "replace").replace("\r\n", "\n")
    if answers:
        fail(f"it ended before {answers[0][0]!r}", screen)
    print(json.dumps({"screen": screen, "code": code}))


main()
