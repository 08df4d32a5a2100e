"""Watching a fleet as people do: `celery …` commands and Flower, in processes of their own and with no flags."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from settings import CHECKOUT
from tests.devstack.running import unused_port
from tests.workers import PATIENCE_SECONDS, wait_for

CELERY = [str(Path(sys.executable).with_name("celery")), "-A", "tasks"]
COMMAND_SECONDS = 90


def start_celery(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*CELERY, *words], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def celery(*words: str) -> str:
    """What the command says; it must succeed."""
    (said,) = celery_at_once(words)
    return said


def celery_at_once(*commands: tuple[str, ...]) -> list[str]:
    """What these commands say, run side by side; each must succeed."""
    running = [(words, start_celery(*words)) for words in commands]
    said = []
    for words, process in running:
        output, errors = process.communicate(timeout=COMMAND_SECONDS)
        assert process.returncode == 0, f"celery {' '.join(words)} ended with {process.returncode}:\n{output}{errors}"
        said.append(output)
    return said


class Flower:
    """`celery -A tasks flower` on a port of its own; its log is a file. Programs may use its API if it is `opened` to them."""

    def __init__(self, log_file: Path, *options: str, opened: bool = True) -> None:
        self.log_file = log_file
        self.address = f"http://127.0.0.1:{(port := unused_port())}"
        with log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*CELERY, "flower", f"--port={port}", *options],
                cwd=CHECKOUT,
                env=os.environ | {"FLOWER_UNAUTHENTICATED_API": str(opened).lower()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def get(self, path: str) -> Any:
        """The answer of Flower's API; None while it does not answer."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=PATIENCE_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:
            return None

    def post(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(self.address + path, json.dumps(body or {}).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def state_of(self, job_id: str) -> str | None:
        """The state of a task as Flower shows it; None if it has not heard of it."""
        found = (self.get("/api/tasks") or {}).get(job_id)
        return found and str(found["state"])

    def wait_until_listening(self) -> Flower:
        wait_for(lambda: self.get("/workers?json=1") or self.process.poll() is not None, "Flower to answer")
        assert self.process.poll() is None, self.log_file.read_text()
        return self

    def __enter__(self) -> Flower:
        return self.wait_until_listening()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)
