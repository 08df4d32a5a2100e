"""An HTTP proxy before one server: a thread and a connection to the server for each client's connection, both kept alive."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from threading import Lock, Thread
from time import monotonic
from typing import Any

from devstack.forwarder import bound

IDLE_SECONDS = 30
"""A connection to the server that was idle for so long is made anew: the server may be closing it just now."""
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "expect"})


@dataclass(frozen=True)
class Request:
    """A request as it came. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """An answer to a request; the body's length is said by whoever sends it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


class Broken(Exception):
    """The client's connection is to be broken here."""


class Upstream:
    """A connection to the server behind the proxy, used by one thread."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port)
        self._used = monotonic()

    def ask(self, request: Request) -> Answer:
        """What the server answers. Its going away is a `ConnectionError` or an `HTTPException`."""
        if monotonic() - self._used > IDLE_SECONDS:
            self.close()
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        self._connection.request(request.method, request.path, request.body or None, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        self._used = monotonic()
        lengths = {"content-length"} if request.method == "HEAD" else set()
        kept = ((name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP - lengths)
        return Answer(answer.status, tuple(kept), body)

    def close(self) -> None:
        self._connection.close()


class HttpProxy:
    """Listens until `stop`; `port` stays the same when it refuses connections in between. Subclasses look into what passes."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._lock = Lock()
        self._clients: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._bound = bound()
        self.port: int = self._bound.getsockname()[1]
        self.listen()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listen(self) -> None:
        """Take connections, if it does not already."""
        with self._lock:
            if self._listener is not None:
                return
            self._listener = listener = self._bound
            listener.listen(512)
        Thread(target=self._accept, args=(listener,), name="proxy", daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and break those there are."""
        with self._lock:
            sockets = [*self._clients, *([self._listener] if self._listener else [])]
            for each in sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            if self._listener is not None:
                self._listener, self._bound = None, bound(self.port)

    def answer(self, request: Request, upstream: Upstream) -> Answer:
        """What the client gets.

        Raises:
            Broken: nothing.
        """
        return upstream.ask(request)

    def connect(self) -> Upstream:
        return Upstream(*self._target)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, address = listener.accept()
            except OSError:
                return
            with self._lock:
                is_stopped = self._listener is not listener
                if not is_stopped:
                    self._clients.add(client)
            if is_stopped:
                client.close()
                return
            Thread(target=self._serve, args=(client, address), name="proxied", daemon=True).start()

    def _serve(self, client: socket.socket, address: object) -> None:
        try:
            _Handler(client, address, self)
        except OSError:
            pass  # the client went away, or was sent away
        finally:
            with self._lock:
                self._clients.discard(client)
            client.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body of an answer leave together

    def __init__(self, client: socket.socket, address: object, proxy: HttpProxy) -> None:
        self._proxy = proxy
        self._upstream = proxy.connect()
        try:
            super().__init__(client, address, proxy)  # type: ignore[arg-type] # its "server" is only kept, never used
        finally:
            self._upstream.close()

    def _pass_on(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers)
        try:
            answer = self._proxy.answer(replace(request, body=b"".join(self._body(headers))), self._upstream)
        except (Broken, OSError, http.client.HTTPException):
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = _pass_on

    def _body(self, headers: dict[str, str]) -> Iterator[bytes]:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            yield self.rfile.read(int(headers.get("content-length", 0)))
            return
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
