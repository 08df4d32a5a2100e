"""Other processes of the fleet, for tests of what it shares: each with its own clients and its own memory, begun at once."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from settings import CHECKOUT

GATE = "import json, sys\n{ready}\nprint('ready', flush=True)\nsys.stdin.readline()\n{then}\n"


def at_once(count: int, *, then: str, ready: str = "") -> list[Any]:
    """What `count` processes print as JSON: each runs `ready`, and when all of them have, all run `then`."""
    program = GATE.format(ready=ready, then=then)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n", "a process failed before the start"
    for process in running:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * count
    return [json.loads(answer) for answer in answers]
