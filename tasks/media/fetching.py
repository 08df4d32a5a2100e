"""A file fetched from the address that a user names, within bounds; after a break it goes on where it broke off.

The checkpoint names the workspace with what there is of the file, and the file's version as the server tells it (`ETag`,
`Last-Modified`). An attempt that finds both asks for the rest, on the condition that the file is still that version; any other
begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from time import monotonic
from typing import BinaryIO

from jobs import public_http
from jobs.errors import InvalidPayload, Retryable
from jobs.public_addresses import NotReached, shown
from jobs.public_http import Answer
from providers.answers import retry_after_seconds
from settings import settings
from tasks.media.workspace import Workspace
from tasks.run import Run

TOTAL_SECONDS = 3600
"""For the whole file, in one attempt."""
PAUSE_SECONDS = 1.0
"""Before the rest of a file is asked for that broke off."""
TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
NEEDS_LEAVE = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}


class NothingThere(InvalidPayload):
    """There is no file at this address. Give one that leads to a file."""


class TooMuch(InvalidPayload):
    """What is at this address is larger than is taken. Give a smaller file."""


class ServerFails(Retryable):
    """The server of this address is failing. The job is tried again."""


def workspace_of(run: Run) -> Workspace:
    """Where the job's file is fetched to: where an earlier attempt has begun to, if that is on this machine."""
    return Workspace.take(run.checkpoint.get("files"))


def fetch(run: Run, url: str, space: Workspace, *, most_percent: float) -> None:
    """Have the whole file at `space.source`. The job's progress goes up to `most_percent`.

    Raises:
        InvalidPayload: the address may not be asked, or there is nothing at it, or too much.
        Retryable: the server can't be reached or is failing.
    """
    deadline = monotonic() + TOTAL_SECONDS
    with space.source.open("ab") as file:
        if file.tell() and run.checkpoint.get("whole") == file.tell():
            return
        while True:
            began_at = file.tell()
            try:
                _fetch_rest(run, url, space.name, file, deadline, most_percent)
                break
            except NotReached:
                if file.tell() <= began_at or monotonic() > deadline:
                    raise
            run.pause(PAUSE_SECONDS)
        file.flush()
        run.keep({**run.checkpoint, "whole": file.tell()})


def _fetch_rest(run: Run, url: str, name: str, file: BinaryIO, deadline: float, most_percent: float) -> None:
    version = run.checkpoint.get("version") if run.checkpoint.get("files") == name else None
    has = file.tell() if version else 0
    if not has:
        _begin_anew(file)
    asked = {"Range": f"bytes={has}-", "If-Range": str(version)} if has else {}
    most = settings().video_most_bytes
    left = max(deadline - monotonic(), 1.0)
    with public_http.open("GET", url, headers=asked, total_seconds=left, most_bytes=most + 1) as answer:
        if has and answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and _ends_at(answer, has):
            return  # it was all there
        if answer.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not has:
            _judge(answer)
        if has and not _goes_on(answer, has, str(version)):
            _begin_anew(file)
            if answer.status != HTTPStatus.OK:
                raise NotReached(f"{shown(url)} has another file now. The job is tried again.")
        whole = file.tell() + answer.length if answer.length is not None else None
        if (whole or 0) > most:
            raise _too_much(answer, most)
        kept = {"files": name, "version": _version(answer.headers)}
        if kept != run.checkpoint:
            run.keep(kept)
        for piece in answer.pieces():
            file.write(piece)
            run.check()
            if file.tell() > most:
                raise _too_much(answer, most)
            run.progress(most_percent * file.tell() / (whole or most), "Fetching the file")


def _goes_on(answer: Answer, has: int, version: str) -> bool:
    """Whether what comes belongs behind what there is. (Not every server knows `If-Range`.)"""
    return answer.status == HTTPStatus.PARTIAL_CONTENT and answer.starts_at == has and _version(answer.headers) == version


def _ends_at(answer: Answer, has: int) -> bool:
    return answer.headers.get("Content-Range") == f"bytes */{has}"


def _begin_anew(file: BinaryIO) -> None:
    file.truncate(0)
    file.seek(0)


def _judge(answer: Answer) -> None:
    """Return where the answer has a file in it."""
    status, where = answer.status, shown(answer.url)
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in TRY_AGAIN:
        wait = retry_after_seconds(answer.headers.get("Retry-After"))
        raise ServerFails(f"{where} is failing (HTTP {status}). The job is tried again.", retry_after_seconds=wait)
    if status in NEEDS_LEAVE:
        raise NothingThere(f"{where} gives its file not to everybody (HTTP {status}). Give an address that needs no sign-in.")
    raise NothingThere(f"There is no file at {where} (HTTP {status}). Check the address, and that the file is still there.")


def _version(headers: Mapping[str, str]) -> str | None:
    """What tells this file from another at the same address: a strong ETag, else its date; None where there is neither."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _too_much(answer: Answer, most: int) -> TooMuch:
    return TooMuch(f"What is at {shown(answer.url)} is larger than {most // 1024**2:,} MiB. Give a smaller file.")
