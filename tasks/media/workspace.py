"""Where a video lies on this machine's disk while it is worked on: a directory under the system's own for that (`TMPDIR`).

It outlives its attempt, so that the next one on this machine goes on with what is there. While somebody works in it, the system
keeps it locked, and unlocks it when he dies. What nobody has touched for an hour is cleared away when the next video comes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from typing import IO, Self
from uuid import uuid4

LEFTOVER_SECONDS = 3600


def disk() -> Path:
    """The directory of ours, in which nobody else may look or write.

    Raises:
        OSError: it is somebody else's, or can't be made.
    """
    ours = Path(tempfile.gettempdir()) / f"pressroom-{os.getuid()}"
    ours.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = ours.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{ours} is not a directory of this user. Set TMPDIR to a directory that is.")
    return ours


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the file's lock, which the system lets go when this process dies; whether it is ours."""
    with path.open("a") as file:
        yield _is_locked(file, path)


def _is_locked(file: IO[str], path: Path) -> bool:
    """Whether it could be locked, and is not a file that somebody has deleted in the meantime."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


class Workspace:
    """Ours until it is left or removed."""

    def __init__(self, name: str, lock: IO[str]) -> None:
        self.name = name
        self._lock = lock
        directory = Path(lock.name).parent
        self.source = directory / "source"
        self.made = directory / "made.mp4"

    @classmethod
    def take(cls, name: str | None = None) -> Self:
        """The one of that name, as it was left; a new one where there is none or somebody works in it."""
        _clear_away()
        for each in (name, uuid4().hex):
            if each is not None:
                path = _spaces() / each / "lock"
                path.parent.mkdir(mode=0o700, exist_ok=True)
                lock = path.open("a")
                if _is_locked(lock, path):
                    return cls(each, lock)
                lock.close()
        raise FileExistsError("a new name was taken")  # a uuid4's

    def leave(self) -> None:
        """The files stay for the next attempt."""
        self._lock.close()

    def remove(self) -> None:
        shutil.rmtree(self.source.parent, ignore_errors=True)
        self._lock.close()


def _spaces() -> Path:
    spaces = disk() / "videos"
    spaces.mkdir(exist_ok=True)
    return spaces


def _clear_away() -> None:
    for space in _spaces().iterdir():
        with suppress(OSError), held(space / "lock") as is_ours:  # somebody else clears away, too
            if is_ours and time() - max(path.stat().st_mtime for path in space.iterdir()) > LEFTOVER_SECONDS:
                shutil.rmtree(space, ignore_errors=True)
