"""Files fetched from a real server on this machine: in one go, in pieces, again, and not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.errors import InvalidPayload, JobError, Retryable
from jobs.store import store
from tasks.media.fetching import fetch, workspace_of
from tasks.run import Run
from tests.site import Asked, Said, Site, running
from tests.tasks.running import next_run, run_of

WHOLE = bytes(range(256)) * 1_000
TAG = '"first"'


class Source:
    """A file on a server that answers ranges. `breaks` is after how many bytes the next answers break off."""

    def __init__(self, body: bytes = WHOLE, tag: str = TAG) -> None:
        self.body, self.tag = body, tag
        self.breaks: list[int] = []

    def __call__(self, asked: Asked) -> Said:
        start = 0
        if asked.headers.get("if-range") == self.tag:
            start = int(asked.headers["range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.body):
            return Said(416, {"Content-Range": f"bytes */{len(self.body)}"})
        rest = self.body[start:]
        place = {"Content-Range": f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"} if start else {}
        sent = rest[: self.breaks.pop(0)] if self.breaks else rest
        return Said(206 if start else 200, {"ETag": self.tag, **place}, sent, length=len(rest))


@pytest.fixture
def site(environment: Callable[..., None], database: object, tmp_path: Path) -> Iterator[Site]:
    environment(ALLOW_PRIVATE_URLS="on")
    with pytest.MonkeyPatch.context() as patch, running() as made:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        yield made


def run_for(site: Site) -> Run:
    return run_of("videos", {"videoUrl": site.url("/film.mp4")})


def fetched(run: Run, site: Site) -> bytes:
    """What is in the workspace, once it is all there. Where it fails, the workspace is left as the attempt would leave it."""
    space = workspace_of(run)
    try:
        fetch(run, site.url("/film.mp4"), space, most_percent=30)
        return space.source.read_bytes()
    finally:
        space.leave()


def ranges(site: Site) -> list[str | None]:
    return [asked.headers.get("range") for asked in site.asked]


def test_a_file_that_breaks_off_is_fetched_on_in_the_same_attempt(site: Site) -> None:
    site.answer = source = Source()
    source.breaks = [100_000]
    run = run_for(site)
    assert fetched(run, site) == WHOLE
    assert ranges(site) == [None, "bytes=100000-"]
    job = store().get(run.job.id)
    assert job is not None
    assert job.checkpoint["whole"] == len(WHOLE)
    assert job.progress.stage == "Fetching the file"


def test_the_next_attempt_goes_on_where_the_one_before_broke_off_and_the_one_after_asks_nobody(site: Site) -> None:
    source = Source()
    source.breaks = [100_000]
    site.answer = lambda asked: source(asked) if not site.asked[1:] else Said(503, {"Retry-After": "7"})
    first = run_for(site)
    with pytest.raises(Retryable, match="HTTP 503") as raised:
        fetched(first, site)
    assert raised.value.retry_after_seconds == 7
    site.answer = source
    second = next_run(first)
    assert fetched(second, site) == WHOLE
    assert ranges(site) == [None, "bytes=100000-", "bytes=100000-"]
    assert fetched(next_run(second), site) == WHOLE
    assert len(site.asked) == 3


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_a_file_that_has_changed_in_between_is_fetched_anew(site: Site, honours_if_range: bool) -> None:
    before, after = Source(), Source(WHOLE[::-1], '"second"')
    before.breaks = [100_000]
    site.answer = lambda asked: Said(503) if site.asked[1:] else before(asked)
    run = run_for(site)
    with pytest.raises(Retryable):
        fetched(run, site)

    def answer(asked: Asked) -> Said:
        if not honours_if_range and "range" in asked.headers:
            asked.headers["if-range"] = after.tag
        return after(asked)

    site.answer = answer
    run = next_run(run)
    if not honours_if_range:
        with pytest.raises(Retryable, match="another file"):
            fetched(run, site)
        run = next_run(run)
    assert fetched(run, site) == WHOLE[::-1]


def test_a_file_that_was_whole_already_is_not_fetched_again(site: Site) -> None:
    site.answer = Source()
    first = run_for(site)
    assert fetched(first, site) == WHOLE
    first.keep({name: value for name, value in first.checkpoint.items() if name != "whole"})  # killed just before that
    assert fetched(next_run(first), site) == WHOLE
    assert ranges(site) == [None, f"bytes={len(WHOLE)}-"]


def test_where_nobody_says_which_version_it_is_the_next_attempt_begins_anew(site: Site) -> None:
    site.answer = lambda asked: Said(body=WHOLE[:5_000], length=len(WHOLE)) if not site.asked[1:] else Said(body=WHOLE)
    first = run_for(site)
    assert fetched(first, site) == WHOLE
    assert ranges(site) == [None, None]


@pytest.mark.parametrize(
    ("status", "family", "words"),
    [
        (404, InvalidPayload, "There is no file at .*Check the address"),
        (410, InvalidPayload, "There is no file at .*Check the address"),
        (403, InvalidPayload, "needs no sign-in"),
        (204, InvalidPayload, "There is no file"),
        (429, Retryable, "is failing"),
        (500, Retryable, "is failing"),
    ],
)
def test_an_answer_without_a_file_is_told_apart(site: Site, status: int, family: type[JobError], words: str) -> None:
    site.answer = lambda asked: Said(status)
    with pytest.raises(family, match=words):
        fetched(run_for(site), site)


def test_a_file_that_is_too_large_is_refused(site: Site, environment: Callable[..., None]) -> None:
    environment(VIDEO_MOST_BYTES=str(64 * 1024), ALLOW_PRIVATE_URLS="on")
    site.answer = Source()
    with pytest.raises(InvalidPayload, match="Give a smaller file"):
        fetched(run_for(site), site)


def test_an_address_of_a_private_network_is_refused(site: Site, environment: Callable[..., None]) -> None:
    run = run_for(site)
    environment(ALLOW_PRIVATE_URLS=None)
    with pytest.raises(InvalidPayload, match="not an address of the public internet"):
        fetched(run, site)
    assert site.asked == []


def test_a_workspace_in_use_is_nobody_elses(site: Site) -> None:
    site.answer = Source()
    run = run_for(site)
    space = workspace_of(run)
    fetch(run, site.url("/film.mp4"), space, most_percent=30)
    other = workspace_of(run)
    assert other.name != space.name
    space.leave()
    other.remove()
    assert not other.source.parent.exists()
    assert workspace_of(run).name == space.name
