"""The one client for web addresses that users name: webhooks, videos to fetch.

It looks the host up itself, checks every address that comes of it, and connects to one that was checked: a name that leads
elsewhere a moment later changes nothing. The same at each redirect. Proxies of the environment are not used, bodies are taken
as they are sent (nothing is unpacked), and everything has its bound: the connection, a silence, the whole, the body's size.

    with public_http.open("GET", url, total_seconds=600, most_bytes=2**30, headers={"Range": "bytes=1000-"}) as answer:
        answer.status, answer.starts_at
        for piece in answer.pieces(): ...
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from threading import Event, Timer
from time import monotonic
from typing import Any
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, SSLError, TimeoutError
from urllib3.util import Timeout, Url

from jobs.errors import InvalidPayload
from jobs.public_addresses import PORTS, ForbiddenAddress, NotReached, addresses_of, check_url, parsed, shown

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
REDIRECTS = 5
PIECE_BYTES = 64 * 1024
REDIRECTING = frozenset({301, 302, 303, 307, 308})
KEEP_METHOD = frozenset({307, 308})
OF_ONE_SITE = frozenset({"authorization", "cookie"})
"""Headers that another site, to which a redirect leads, does not get."""


class TooLarge(InvalidPayload):
    """What is at this web address is larger than is taken."""


class Answer:
    """An answer whose body is still to be read. Header names are in any case."""

    def __init__(self, url: str, answer: BaseHTTPResponse, deadline: _Deadline, most_bytes: int) -> None:
        self.url = url
        """Where it came from, after redirects."""
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self._answer = answer
        self._deadline = deadline
        self._most_bytes = most_bytes

    @property
    def starts_at(self) -> int:
        """The place of the body's first byte in the whole: more than 0 where a `Range` was asked for and is answered."""
        given = re.match(r"bytes (\d+)-", self.headers.get("Content-Range", "")) if self.status == 206 else None
        return int(given[1]) if given else 0

    @property
    def length(self) -> int | None:
        """How many bytes the body has, if the server says so."""
        given = self.headers.get("Content-Length", "")
        return int(given) if given.isdecimal() else None

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes.

        Raises:
            TooLarge: it has more bytes than it may.
            NotReached: it broke off, or took too long.
        """
        if (self.length or 0) > self._most_bytes:
            raise self._too_large()
        read = 0
        while piece := self._piece():
            read += len(piece)
            if read > self._most_bytes:
                raise self._too_large()
            yield piece

    def beginning(self) -> bytes:
        """The body, or as much of it as is taken.

        Raises:
            NotReached: it broke off, or took too long.
        """
        body = bytearray()
        while len(body) < self._most_bytes and (piece := self._piece()):
            body += piece
        return bytes(body[: self._most_bytes])

    def _piece(self) -> bytes:
        with _in_our_words(self.url, self._deadline):
            return self._answer.read1(PIECE_BYTES, decode_content=False)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"What is at {shown(self.url)} is larger than {self._most_bytes // 1024**2:,} MiB.")


@contextmanager
def open(
    method: str,
    url: str,
    *,
    total_seconds: float,
    most_bytes: int,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
    follow_redirects: int = REDIRECTS,
) -> Iterator[Answer]:
    """Ask `url`. The answer holds as long as the block; whatever its status is, it is an answer.

    `read_seconds` is the longest silence, `total_seconds` bounds everything until the end of the block's reading.
    With `follow_redirects=0` a redirect is the answer.

    Raises:
        ForbiddenAddress: the address, or one that it redirects to, may not be asked.
        NotReached: nobody answers, or not in time, or with something that is no HTTP.
    """
    timeout = Timeout(connect=connect_seconds, read=read_seconds)
    sent = {"User-Agent": "pressroom", "Accept-Encoding": "identity"} | dict(headers or {})
    with ExitStack() as opened:
        deadline = opened.enter_context(_Deadline(total_seconds))
        for left in range(follow_redirects, -1, -1):
            parts = parsed(url)
            pool = opened.enter_context(_pool(url, parts, deadline))
            with _in_our_words(url, deadline):
                answer = pool.urlopen(
                    method,
                    parts.request_uri,
                    body=body,
                    headers=sent,
                    retries=False,
                    redirect=False,
                    assert_same_host=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=timeout,
                )
            opened.callback(answer.close)
            target = answer.headers.get("Location") if answer.status in REDIRECTING else None
            if target is None or not follow_redirects:
                break
            if not left:
                raise NotReached(
                    f"{shown(url)} redirects, as the {follow_redirects} addresses before it did: that is too often."
                )
            method, body = (method, body) if answer.status in KEEP_METHOD or method == "HEAD" else ("GET", None)
            before, url = parts, urljoin(url, target)
            if parsed(url)[:4] != before[:4]:
                sent = {name: value for name, value in sent.items() if name.lower() not in OF_ONE_SITE}
        yield Answer(url, answer, deadline, most_bytes)


class _Deadline:
    """Breaks the connection when the time is over, whatever is being waited for then: a server that sends a byte now and then,
    in its headers, say, would otherwise hold us for ever."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends = monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._over = Event()
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def watch(self, connection: socket.socket) -> None:
        """A copy of it: TLS takes the socket itself apart."""
        self._sockets.append(connection.dup())
        if self.is_over:
            self._end()

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for each in self._sockets:
            each.close()

    def _end(self) -> None:
        self._over.set()
        for each in [*self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Checked:
    """Part of a connection: where it leads to. The rest, Host and TLS's name for one, goes by the host's name as ever."""

    def __init__(self, *given: Any, url: str, deadline: _Deadline, **named: Any) -> None:
        super().__init__(*given, **named)
        self._url = url
        self._deadline = deadline

    def _new_conn(self) -> socket.socket:  # what urllib3's own variants, as the one for SOCKS, replace
        host: str = self.host  # type: ignore[attr-defined] # the connection's, which this is mixed into
        port: int = self.port  # type: ignore[attr-defined] # likewise
        seconds: float = self.timeout  # type: ignore[attr-defined] # likewise
        for address in addresses_of(self._url, host, port):
            seconds = min(seconds, max(self._deadline.ends - monotonic(), 0.01))
            with suppress(OSError):
                made = socket.create_connection((address, port), seconds)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._deadline.watch(made)
                return made
        raise NotReached(f"{shown(self._url)} can't be reached: no connection to its host could be made.")


class _HttpConnection(_Checked, HTTPConnection):
    pass


class _HttpsConnection(_Checked, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def _pool(url: str, parts: Url, deadline: _Deadline) -> HTTPConnectionPool:
    """For one request."""
    assert parts.host is not None
    port = parts.port or PORTS[str(parts.scheme)]
    if parts.scheme == "https":
        return _HttpsPool(parts.host, port, ssl_context=_tls(), url=url, deadline=deadline)
    return _HttpPool(parts.host, port, url=url, deadline=deadline)


@cache
def _tls() -> ssl.SSLContext:
    """The certificates that the machine trusts; read once, which takes a while."""
    return ssl.create_default_context()


@contextmanager
def _in_our_words(url: str, deadline: _Deadline) -> Iterator[None]:
    """A body without a length that was broken off looks like one that is whole, so the time is looked at, too."""
    where = shown(url)
    try:
        yield
        fault = None
    except TimeoutError:
        fault = f"{where} did not answer in time."
    except SSLError as error:
        fault = f"{where} can't be trusted: {_reason(error)}."
    except (HTTPError, OSError, ValueError):
        fault = f"{where} broke off, or does not answer in HTTP."
    if deadline.is_over:
        raise NotReached(f"{where} took longer than {deadline.seconds:g} seconds.")
    if fault is not None:
        raise NotReached(fault)


def _reason(error: SSLError) -> str:
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or cause)


__all__ = ["Answer", "ForbiddenAddress", "NotReached", "TooLarge", "check_url", "open"]
