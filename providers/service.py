"""The AI service at `AI_SERVICE_URL`: articles, images and videos over HTTP with JSON.

Every generation carries the job's idempotency key, so a service that honours
it generates once for all attempts of a job. An interrupted article is asked for again from its start, under the same key; an
interrupted video goes on with the task that the checkpoint names.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urljoin

import requests

from jobs.errors import ProviderRateLimited, ProviderRefused, ProviderUnavailable
from providers.answers import count, plain
from providers.base import Call, Checkpoint, Draft, Generated, Usage
from providers.http import (
    CONNECT_SECONDS,
    EVENT_STREAM,
    Json,
    cut_off,
    events,
    json_answer,
    not_as_agreed,
    our_errors,
    raise_for_status,
    session_for_threads,
)
from providers.manuscript import Manuscript
from providers.media import IMAGE_BYTES, VIDEO_BYTES, fetch, fetching, image_file, video_file
from providers.requests import ArticleRequest, ImageRequest, VideoRequest
from providers.waiting import looked, waited, waiting
from settings import Settings

PROBE_SECONDS = 5.0
CANCEL_SECONDS = 10.0
POLL_SECONDS = 1.0
LOOK_SECONDS = 30.0
ARTICLE_FIELDS = {"topic", "word_count", "tone", "seo_optimization", "include_images", "keywords", "outline", "language"}

OVER_ALREADY = frozenset({requests.codes.not_found, requests.codes.conflict})

_PERCENT_BEFORE_DOWNLOAD = 95


class ServiceProvider:
    """An AI service that follows our contract, at `url`. `timeout_seconds` is the longest silence it may keep in an answer."""

    name = "service"
    kinds = frozenset({"articles", "images", "videos"})
    pays_once = True

    def __init__(self, url: str, *, timeout_seconds: float = 300, poll_seconds: float = POLL_SECONDS) -> None:
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._poll_seconds = poll_seconds
        self._session = session_for_threads()

    @classmethod
    def from_settings(cls, settings: Settings) -> ServiceProvider:
        """The service that the settings name.

        Raises:
            ProviderRefused: they name none.
        """
        if not settings.ai_service_url:
            raise ProviderRefused("The provider 'service' is not set up: AI_SERVICE_URL is missing.")
        return cls(settings.ai_service_url, timeout_seconds=settings.ai_timeout_seconds)

    def write(self, request: ArticleRequest, call: Call) -> Draft:
        """Write an article; its text is streamed where the service streams."""
        manuscript = Manuscript(call, word_count=request.word_count)
        body = request.model_dump(include=ARTICLE_FIELDS, by_alias=False)
        for part in waiting(call, lambda: self._article_parts(request.mode, body, call)):
            if isinstance(part, str):
                manuscript.add(part)
            else:
                return manuscript.draft(_usage(part), title=_optional_text(part, "title"))
        raise cut_off()

    def draw(self, request: ImageRequest, call: Call) -> Generated:
        """Make an image."""
        call.progress(0, "Making the image")
        body = request.model_dump(by_alias=False)
        picture = BytesIO()
        for _ in waiting(call, lambda: self._picture(body, call, picture)):
            pass
        image = image_file(picture.getvalue())
        call.progress(100, "Made")
        return Generated(files=[image], usage=Usage(images=1))

    def film(self, request: VideoRequest, call: Call) -> Generated:
        """Make a video, or go on with the one of an earlier attempt."""
        url = self._finished_earlier(call) or self._finished_new(request, call)
        file = cast(BinaryIO, TemporaryFile())  # noqa: SIM115 - the caller closes it, or the handler below
        try:
            call.progress(_PERCENT_BEFORE_DOWNLOAD, "Fetching the video")
            for _ in waiting(call, lambda: self._fetch(url, file, VIDEO_BYTES)):
                pass
            video = video_file(file)
        except BaseException:
            file.close()
            raise
        call.progress(100, "Made")
        return Generated(files=[video], usage=Usage(video_seconds=video.duration_seconds or request.duration))

    def cancel(self, checkpoint: Checkpoint) -> None:
        """Stop the video that `checkpoint` names."""
        if task_id := checkpoint.get("task_id"):
            with self._sent("POST", _task_path(task_id) + "/cancel", seconds=CANCEL_SECONDS) as answer:
                if answer.status_code not in OVER_ALREADY:
                    raise_for_status(answer)

    def probe(self) -> None:
        """Return when the service says that it is well."""
        try:
            with self._sent("GET", "/health", seconds=PROBE_SECONDS) as answer:
                raise_for_status(answer)
        except (ProviderRefused, ProviderRateLimited) as error:
            raise ProviderUnavailable(str(error)) from error

    def _article_parts(self, mode: str, body: Json, call: Call) -> Generator[str | Json, None, None]:
        """The pieces of the text, then what the service says in the end: title and usage. A cut stream lacks the latter."""
        with self._asked("POST", f"/api/generation/{mode}", call, body, accept=f"{EVENT_STREAM}, application/json") as answer:
            if not answer.headers.get("Content-Type", "").startswith(EVENT_STREAM):
                whole = json_answer(answer)
                yield _titled(_text(whole, "content"), _text(whole, "title"))
                yield whole
                return
            for event in events(answer):
                if "text" in event:
                    yield _text(event, "text")
                if event.get("done"):
                    yield event
                    return

    def _picture(self, body: Json, call: Call, file: BinaryIO) -> Generator[int, None, None]:
        with self._asked("POST", "/api/images/generate", call, body) as answer:
            image = json_answer(answer)
        if url := _optional_text(image, "url"):
            yield from self._fetch(url, file, IMAGE_BYTES)
            return
        try:
            yield file.write(base64.b64decode(_text(image, "image_base64"), validate=True))
        except binascii.Error as error:
            raise not_as_agreed("image_base64 is no base64") from error

    def _finished_earlier(self, call: Call) -> str | None:
        """Where the video of an earlier attempt is; None if there was none, or the service has forgotten it."""
        task_id = call.checkpoint.get("task_id")
        return self._finished(task_id, call) if task_id else None

    def _finished_new(self, request: VideoRequest, call: Call) -> str:
        body = request.model_dump(by_alias=False)
        task_id = _text(waited(call, lambda: self._answer("POST", "/api/videos/generate", call, body)), "task_id")
        call.keep({"task_id": task_id}, resumes=True)
        if url := self._finished(task_id, call):
            return url
        raise ProviderUnavailable("The AI service has forgotten the video it was making.")

    def _finished(self, task_id: str, call: Call) -> str | None:
        """Wait for the task to end. Where the finished video is, or None if the service knows no such task."""
        percent = 0.0
        while True:
            task = looked(call, lambda: self._task(task_id, call), pause_seconds=self._poll_seconds)
            if task is None:
                return None
            status = task.get("status")
            if status == "completed":
                return _text(task, "url")
            if status == "failed":
                call.keep({})  # a retry by the user starts a new one
                raise ProviderRefused(plain(task.get("error")) or "The AI service could not make this video.")
            if status not in ("queued", "processing"):
                raise not_as_agreed(f"a task is {status!r}")
            percent = max(percent, _percent(task.get("progress")))
            call.progress(percent, "Waiting for the AI service" if status == "queued" else "Making the video")
            call.pause(self._poll_seconds)

    def _task(self, task_id: str, call: Call) -> Json | None:
        with self._sent("GET", _task_path(task_id), call, seconds=LOOK_SECONDS) as answer:
            if answer.status_code == requests.codes.not_found:
                return None
            raise_for_status(answer)
            return json_answer(answer)

    def _fetch(self, url: str, file: BinaryIO, most_bytes: int) -> Generator[int, None, None]:
        url = urljoin(self._url + "/", url)
        with fetching(url, service=self._url):
            yield from fetch(self._session, url, file, most_bytes=most_bytes, silent_seconds=self._timeout_seconds)

    def _answer(self, method: str, path: str, call: Call, body: Json) -> Json:
        with self._asked(method, path, call, body) as answer:
            return json_answer(answer)

    @contextmanager
    def _asked(
        self, method: str, path: str, call: Call, body: Json, accept: str = "application/json"
    ) -> Iterator[requests.Response]:
        """The answer to a generating request, its head read and known to be good."""
        headers = {"Accept": accept, "Idempotency-Key": call.idempotency_key}
        with self._sent(method, path, call, headers, body) as answer:
            raise_for_status(answer)
            yield answer

    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        call: Call | None = None,
        headers: Mapping[str, str] | None = None,
        body: Json | None = None,
        *,
        seconds: float = math.inf,
    ) -> Iterator[requests.Response]:
        sent = dict(headers or {})
        if call is not None and call.traceparent:
            sent["traceparent"] = call.traceparent
        timeout = (CONNECT_SECONDS, min(seconds, self._timeout_seconds))
        with (
            our_errors(),
            self._session.request(
                method, self._url + path, headers=sent, json=body, timeout=timeout, stream=True, allow_redirects=False
            ) as answer,
        ):
            yield answer


def _titled(content: str, title: str) -> str:
    """`content` with the title that the service tells apart from it, unless it starts with one."""
    return content if content.lstrip().startswith("# ") else f"# {title}\n\n{content}"


def _text(answer: Mapping[str, Any], name: str) -> str:
    text = answer.get(name)
    if not isinstance(text, str) or (not text and name != "text"):
        raise not_as_agreed(f"it has no {name!r}")
    return text


def _optional_text(answer: Mapping[str, Any], name: str) -> str | None:
    text = answer.get(name)
    return text if isinstance(text, str) and text else None


def _usage(answer: Mapping[str, Any]) -> Usage:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    return Usage(input_tokens=count(usage, "input_tokens"), output_tokens=count(usage, "output_tokens"))


def _percent(progress: object) -> float:
    known = progress if isinstance(progress, int | float) else 0
    return min(100.0, max(0.0, known)) * _PERCENT_BEFORE_DOWNLOAD / 100


def _task_path(task_id: str) -> str:
    return f"/api/videos/{quote(task_id, safe='')}"
