"""OpenAI, and every service that speaks its API (`OPENAI_BASE_URL`), by the official SDK: articles and images.

Articles come by Chat Completions, which nearly all compatible services have. The sections that are finished are kept, and an
attempt after an interruption goes on behind them. OpenAI promises nothing for an idempotency key; it is sent for those who do.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from time import monotonic
from typing import cast

import httpx2
import openai
from openai.types import CompletionUsage, ImagesResponse
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from jobs.errors import JobError, ProviderRateLimited, ProviderRefused, ProviderUnavailable, ProviderUnreachable
from providers.answers import error_of, plain
from providers.base import Call, Checkpoint, Draft, Generated, Usage
from providers.http import CONNECT_SECONDS, cut_off, not_as_agreed, session_for_threads, silent
from providers.manuscript import Manuscript
from providers.media import IMAGE_BYTES, fetch, fetching, image_file
from providers.prompts import GO_ON, WRITER, article_prompt, picture_prompt
from providers.requests import ArticleRequest, ImageRequest, VideoRequest
from providers.waiting import waiting
from settings import Settings

KEEP_SECONDS = 2.0
PROBE_SECONDS = 5.0


class OpenAIProvider:
    """A service that speaks OpenAI's API. `keep_seconds` is the least time between two checkpoints of an article."""

    name = "openai"
    kinds = frozenset({"articles", "images"})
    pays_once = False

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None = None,
        text_model: str,
        image_model: str,
        timeout_seconds: float = 300,
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        self._timeout = timeout_seconds
        self._client = openai.OpenAI(
            api_key=api_key,
            base_url=base_url,
            timeout=openai.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
            max_retries=0,  # trying again is the job's affair: it counts attempts and backs off
        )
        self._text_model = text_model
        self._image_model = image_model
        self._keep_seconds = keep_seconds
        self._downloads = session_for_threads()

    @classmethod
    def from_settings(cls, settings: Settings) -> OpenAIProvider:
        """The service that the settings name.

        Raises:
            ProviderRefused: there is no key.
        """
        if not settings.openai_api_key:
            raise ProviderRefused("The provider 'openai' is not set up: OPENAI_API_KEY is missing.")
        return cls(
            api_key=settings.openai_api_key,
            base_url=settings.openai_base_url,
            text_model=settings.openai_text_model,
            image_model=settings.openai_image_model,
            timeout_seconds=settings.ai_timeout_seconds,
        )

    def write(self, request: ArticleRequest, call: Call) -> Draft:
        """Write an article, or the rest of one: what an earlier attempt kept is given to `call.text` first."""
        manuscript = Manuscript(call, word_count=request.word_count, title=request.subject)
        written = str(call.checkpoint.get("content") or "")
        if written:
            manuscript.add(written + "\n\n")
        usage = Usage()
        sections = _Sections(call, manuscript, self._keep_seconds)
        try:
            for part in waiting(call, lambda: self._article_parts(request, written, call)):
                if isinstance(part, Usage):
                    usage = part
                else:
                    manuscript.add(part)
                    sections.keep_now_and_then()
        except JobError as error:
            if error.retryable:
                sections.keep()
            raise
        return manuscript.draft(usage)

    def draw(self, request: ImageRequest, call: Call) -> Generated:
        """Make an image. The service decides which sizes it can make; the file's own size is what is reported."""
        call.progress(0, "Making the image")
        picture = BytesIO()
        usage = Usage()
        for part in waiting(call, lambda: self._picture(request, call, picture)):
            usage = part
        image = image_file(picture.getvalue())
        call.progress(100, "Made")
        return Generated(files=[image], usage=usage)

    def film(self, request: VideoRequest, call: Call) -> Generated:
        """Refuse."""
        raise ProviderRefused("The provider 'openai' makes no videos. Order the video from another provider.")

    def cancel(self, checkpoint: Checkpoint) -> None:
        """Nothing to stop: an answer that nobody reads ends by itself."""

    def probe(self) -> None:
        """Return when the service answers, be it with a refusal."""
        try:
            with _our_errors():
                self._client.models.list(timeout=PROBE_SECONDS)
        except (ProviderRefused, ProviderRateLimited):
            return

    def _article_parts(self, request: ArticleRequest, written: str, call: Call) -> Generator[str | Usage, None, None]:
        """The pieces of the text that is still to be written, and what they used."""
        finished = False
        model = call.model_id or self._text_model
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": WRITER},
            {"role": "user", "content": article_prompt(request)},
        ]
        if written:
            messages += [{"role": "assistant", "content": written}, {"role": "user", "content": GO_ON}]
        with (
            _our_errors(),
            self._client.chat.completions.create(
                model=model,
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=_headers(call, len(written)),
            ) as stream,
        ):
            for chunk in stream:
                piece, ended = _read(chunk)
                if piece:
                    yield piece
                finished = finished or ended
                if chunk.usage:
                    yield _text_usage(chunk.usage, model)
        if not finished:
            raise cut_off()

    def _picture(self, request: ImageRequest, call: Call, file: BytesIO) -> Generator[Usage, None, None]:
        model = call.model_id or self._image_model
        with _our_errors():
            answer = self._client.images.generate(
                model=model,
                prompt=picture_prompt(request),
                size=request.size,
                n=1,
                extra_headers=_headers(call),
            )
        if not isinstance(answer, ImagesResponse) or not answer.data:
            raise not_as_agreed("it has no picture")
        usage = Usage(images=1, model=model)
        if answer.usage:
            read, written = answer.usage.input_tokens or 0, answer.usage.output_tokens or 0
            usage = replace(usage, input_tokens=read, output_tokens=written)
        picture = answer.data[0]
        if picture.b64_json:
            file.write(_decoded(picture.b64_json))
        elif picture.url:
            yield from (usage for _ in self._fetch(picture.url, file))
        else:
            raise not_as_agreed("it has no picture")
        yield usage

    def _fetch(self, url: str, file: BytesIO) -> Generator[int, None, None]:
        with fetching(url, service=str(self._client.base_url)):
            yield from fetch(self._downloads, url, file, most_bytes=IMAGE_BYTES, silent_seconds=self._timeout)


class _Sections:
    """Keeps the finished sections of an article for the next attempt."""

    def __init__(self, call: Call, manuscript: Manuscript, keep_seconds: float) -> None:
        self._call = call
        self._manuscript = manuscript
        self._keep_seconds = keep_seconds
        self._kept_at = monotonic()
        self._kept = manuscript.finished_sections

    def keep_now_and_then(self) -> None:
        if monotonic() - self._kept_at >= self._keep_seconds:
            self.keep()

    def keep(self) -> None:
        finished = self._manuscript.finished_sections
        if finished != self._kept:
            self._call.keep({"content": finished})
            self._kept, self._kept_at = finished, monotonic()


def _read(chunk: ChatCompletionChunk) -> tuple[str, bool]:
    """The chunk's text, and whether it is the last.

    Raises:
        ProviderRefused: the model or the service declines to write this.
        ProviderUnavailable: the service stops before the end.
    """
    if not chunk.choices:
        return "", False
    choice = chunk.choices[0]
    if refusal := plain(getattr(choice.delta, "refusal", None)):
        raise ProviderRefused(refusal)
    if choice.finish_reason == "content_filter":
        raise ProviderRefused("The AI service's content filter refuses this article.")
    if choice.finish_reason == "length":
        raise ProviderUnavailable("The AI service stopped at its longest answer, before the article's end.")
    return getattr(choice.delta, "content", None) or "", choice.finish_reason is not None


def _headers(call: Call, written: int = 0) -> dict[str, str]:
    """What goes with a generating request. The rest of an article is another order than the whole, so its key is another."""
    key = call.idempotency_key
    headers = {"Idempotency-Key": f"{key}-{written}" if written else key}
    if call.traceparent:
        headers["traceparent"] = call.traceparent
    return headers


def _text_usage(usage: CompletionUsage, model: str) -> Usage:
    return Usage(input_tokens=usage.prompt_tokens or 0, output_tokens=usage.completion_tokens or 0, model=model)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise not_as_agreed("its picture is no base64") from error


@contextmanager
def _our_errors() -> Iterator[None]:
    """Turns what the SDK raises into our errors."""
    try:
        yield
    except openai.APIConnectionError as error:
        raise _of_connection(error) from error
    except openai.AuthenticationError as error:  # its words may hold a part of the key
        raise ProviderRefused("The AI service does not accept the key in OPENAI_API_KEY.") from error
    except openai.ConflictError as error:  # a lock at the service, as the SDK's own retry has it
        raise ProviderUnavailable from error
    except openai.APIStatusError as error:
        raise error_of(error.status_code, error.response.headers, _reason(error)) from error
    except openai.APIError as error:  # an error in the middle of a stream
        raise ProviderUnavailable(plain(error.message)) from error
    except httpx2.HTTPError as error:
        raise cut_off() from error
    except ValueError as error:
        raise not_as_agreed("it is no JSON") from error


def _of_connection(error: openai.APIConnectionError) -> ProviderUnavailable:
    if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
        return ProviderUnreachable()
    return silent() if isinstance(error, openai.APITimeoutError) else cut_off()


def _reason(error: openai.APIStatusError) -> object:
    """The service's own words; compatible services give them as OpenAI does, or as plain `detail` or `message`."""
    if not isinstance(error.body, dict):
        return None
    body = cast(dict[str, object], error.body)
    return body.get("message") or body.get("detail")
