"""HTTP with `requests` as a provider needs it: one pool for all threads, bounded bodies, event streams, and our errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from jobs.errors import ProviderUnavailable, ProviderUnreachable
from providers.answers import error_of

CONNECT_SECONDS = 5.0
CONNECTIONS = 64
JSON_BYTES = 96 * 1024 * 1024
"""Room for a large picture in base64."""
EVENT_STREAM = "text/event-stream"
EVENT_BYTES = 1024 * 1024
"""The longest line of an event stream."""

_READ_BYTES = 64 * 1024

Json = dict[str, Any]


def session_for_threads() -> requests.Session:
    """One for all threads: its connections are a pool, and it remembers no cookies, which would tie one job to another."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS, max_retries=0))
    return session


@contextmanager
def our_errors() -> Iterator[None]:
    """Turns what `requests` raises into our errors."""
    try:
        yield
    except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
        raise ProviderUnreachable from error
    except (requests.Timeout, ReadTimeoutError) as error:
        raise silent() from error
    except requests.ConnectionError as error:
        raise _of_connection(error) from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError, HTTPError) as error:
        raise cut_off() from error
    except requests.RequestException as error:
        raise ProviderUnavailable("A request to the AI service failed.") from error


def _of_connection(error: requests.ConnectionError) -> ProviderUnavailable:
    cause = error.args[0] if error.args else None
    if isinstance(getattr(cause, "reason", None), NewConnectionError):
        return ProviderUnreachable()
    return silent() if isinstance(cause, ReadTimeoutError) else cut_off()


def raise_for_status(answer: requests.Response) -> None:
    """Raise the error that `answer` is, with the `detail` of its body as the reason; a redirect is one too."""
    if not HTTPStatus.OK <= answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
        raise error_of(answer.status_code, answer.headers, reason_of(_body(answer)))


def _body(answer: requests.Response) -> bytes:
    body = bytearray()
    for chunk in answer.iter_content(_READ_BYTES):
        body += chunk
        if len(body) > JSON_BYTES:
            raise not_as_agreed("it is too long")
    return bytes(body)


def json_answer(answer: requests.Response) -> Json:
    """The JSON object that is the answer's body.

    Raises:
        ProviderUnavailable: it is none.
    """
    return _object(_body(answer))


def _object(text: bytes) -> Json:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise not_as_agreed("it is no JSON") from error
    if not isinstance(value, dict):
        raise not_as_agreed("it is no JSON object")
    return value


def reason_of(body: bytes) -> object:
    """The `detail` that the body of an error gives; None where it gives none."""
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value.get("detail") if isinstance(value, dict) else None


def events(answer: requests.Response) -> Iterator[Json]:
    """The JSON objects of a stream of server-sent events, each as soon as it is there."""
    data: list[bytes] = []
    for line in _lines(answer):
        if line.startswith(b"data:"):
            data.append(line.removeprefix(b"data:").removeprefix(b" "))
        elif not line and data:
            yield _object(b"\n".join(data))
            data = []


def _lines(answer: requests.Response) -> Iterator[bytes]:
    # `iter_lines` is no choice: it waits for full buffers where the service sends no chunks
    rest = b""
    while piece := answer.raw.read1(_READ_BYTES, decode_content=True):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in lines)
        if len(rest) > EVENT_BYTES:
            raise not_as_agreed("it is too long")


def cut_off() -> ProviderUnavailable:
    return ProviderUnavailable("The AI service broke off in the middle of its answer.")


def silent() -> ProviderUnavailable:
    return ProviderUnavailable("The AI service did not answer in time.")


def not_as_agreed(what: str) -> ProviderUnavailable:
    return ProviderUnavailable(f"The AI service's answer can't be used: {what}.")
