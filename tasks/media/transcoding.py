"""Transcoding in a process of its own (`transcoder.py`), killed with its attempt. As many at a time as there are cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast

import structlog

from jobs.errors import InvalidPayload, WorkerLost
from tasks.media.workspace import disk, held
from tasks.run import Run

log = structlog.get_logger()

PROGRAM = Path(__file__).with_name("transcoder.py")
LOOK_SECONDS = 0.2
"""How often whoever waits looks whether the attempt may go on."""
LOGGED_BYTES = 4_000


class NoVideo(InvalidPayload):
    """This is no video that can be transcoded. Give the address of another file."""


@dataclass(frozen=True)
class Measures:
    """Of the video that was made, as it is shown."""

    width: int
    height: int
    seconds: float


def transcode(run: Run, source: Path, target: Path, *, quality: int, most_bytes: int, from_percent: float) -> Measures:
    """Make of the video at `source` an MP4 at `target`, its shorter side `quality` pixels or less.

    Raises:
        NoVideo: it is none, or broken, too long or too large; the words say which.
        WorkerLost: the transcoder died.
    """
    with _place(run, from_percent), _process(source, target, quality, most_bytes) as process:
        for word in _words(process, run):
            if "fault" in word:
                raise NoVideo(f"The file can't be used as a video: {word['fault']}. Give another one.")
            if "share" in word:
                run.progress(from_percent + (100 - from_percent) * word["share"], f"Transcoding to {quality}p")
            else:
                return Measures(**word)
    raise AssertionError  # _words ends with a last word, or raises


@contextmanager
def _place(run: Run, percent: float) -> Iterator[None]:
    """One of as many as the machine has cores, among all processes on it."""
    while True:
        for number in range(os.cpu_count() or 1):
            with held(disk() / f"transcoding-{number}.lock") as is_ours:
                if is_ours:
                    yield
                    return
        run.progress(percent, "Waiting for a free processor")
        run.pause(LOOK_SECONDS)


@contextmanager
def _process(source: Path, target: Path, quality: int, most_bytes: int) -> Iterator[subprocess.Popen[bytes]]:
    """The transcoder, with nothing of our environment; killed at the end of the block, and by the end of this process."""
    with TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-I", str(PROGRAM), str(source), str(target), str(quality), str(most_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={},
            process_group=0,  # who stops the worker does not mean the transcoder
        )
        try:
            yield process
        except WorkerLost:
            process.kill()
            said.seek(max(0, said.seek(0, os.SEEK_END) - LOGGED_BYTES))
            log.warning("the transcoder died", exit_status=process.wait(), said=said.read().decode(errors="replace"))
            raise
        finally:
            process.kill()
            process.communicate()


def _words(process: subprocess.Popen[bytes], run: Run) -> Iterator[dict[str, Any]]:
    """What the transcoder says, as it comes."""
    assert process.stdout is not None
    pending = b""
    while True:
        run.check()
        if not wait([cast(Any, process.stdout)], LOOK_SECONDS):
            continue
        piece = os.read(process.stdout.fileno(), 65_536)
        if not piece:
            raise WorkerLost("The process that transcoded the video died.")
        *lines, pending = (pending + piece).split(b"\n")
        yield from map(json.loads, lines)
