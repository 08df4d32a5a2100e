"""Watching a fleet as people do: `celery …` commands and Flower, in processes of their own and with no flags."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import pytest

from devstack.server import free_port
from settings import CHECKOUT
from tests.workers import PATIENCE_SECONDS, wait_for

CELERY = [str(Path(sys.executable).with_name("celery")), "-A", "tasks"]
NOBODY_ANSWERED = "No nodes replied within time constraint"
"""Celery asks for a second. A machine may have more to do than that."""


def start_celery(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*CELERY, *words], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def celery(*words: str) -> str:
    """What the command says; it must succeed."""
    (said,) = celery_at_once(words)
    return said


def celery_at_once(*commands: tuple[str, ...]) -> list[str]:
    """What these commands say, run side by side; each must succeed. They wait for somebody to answer."""
    running = [(words, start_celery(*words)) for words in commands]
    return [_said(words, process) for words, process in running]


def _said(words: tuple[str, ...], process: subprocess.Popen[str]) -> str:
    deadline = monotonic() + PATIENCE_SECONDS
    while True:
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        if process.returncode == 0:
            return output
        can_be_asked_again = words[0] in {"inspect", "status"} and NOBODY_ANSWERED in output + errors
        if not can_be_asked_again or monotonic() > deadline:
            pytest.fail(f"celery {' '.join(words)} ended with {process.returncode}:\n{output}{errors}")
        process = start_celery(*words)


def wait_for_nodes(count: int) -> str:
    """What `celery status` says once so many workers have answered it."""

    def said() -> str | None:
        told = celery("status")
        return told if f"{count} node{'s' if count > 1 else ''} online." in told else None

    return wait_for(said, f"{count} workers to answer")


class Flower:
    """`celery -A tasks flower` on a port of its own; its log is a file. Programs may use its API if it is `opened` to them."""

    def __init__(self, log_file: Path, *options: str, opened: bool = True) -> None:
        self.log_file = log_file
        self.address = f"http://127.0.0.1:{(port := free_port())}"
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
