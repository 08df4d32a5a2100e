"""A TCP forwarder before a server, so that the server can be taken away and brought back at the same address."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Event, Lock, Thread
from types import TracebackType

CONNECT_SECONDS = 5
LONGEST_HEAD_BYTES = 8_192


class Forwarder:
    """Listens on a port of its own and forwards to `host:port`.

    Cut, it refuses connections and breaks those it has; held, it takes connections and whatever they send, and nothing answers.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self._lock = Lock()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._flows = Event()
        self._bound = bound()
        self.port: int = self._bound.getsockname()[1]
        self.restore()

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cut()
        self._bound.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def hold(self) -> None:
        """The server is there and answers nothing from now on."""
        self._flows.clear()

    def cut(self) -> None:
        """The server is away from now on."""
        with self._lock:
            sockets = [*self._open, *([self._listener] if self._listener else [])]
            for each in sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            if self._listener is not None:
                self._bound = bound(self.port)
            self._open, self._listener = [], None

    def restore(self) -> None:
        """The server is there again."""
        self._flows.set()
        with self._lock:
            if self._listener is not None:
                return
            self._listener = listener = self._bound
            listener.listen(128)
        Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            Thread(target=self._forward, args=(listener, client), daemon=True).start()

    def _forward(self, listener: socket.socket, client: socket.socket) -> None:
        try:
            server = self._connected(client)
        except OSError:
            client.close()
            return
        with self._lock:
            is_cut = self._listener is not listener
            if not is_cut:
                self._open += [client, server]
        if is_cut:
            client.close()
            server.close()
            return
        Thread(target=self._pump, args=(server, client), daemon=True).start()
        self._pump(client, server)
        with self._lock:
            self._open = [each for each in self._open if each not in (client, server)]

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _connected(self, client: socket.socket) -> socket.socket:
        """A connection to where this client is to be led."""
        return _connect(self.target)


class Tunnel(Forwarder):
    """The same before whatever its clients name: an HTTPS proxy (`HTTPS_PROXY=http://{address}`), for servers behind TLS."""

    def __init__(self) -> None:
        super().__init__("", 0)

    def _connected(self, client: socket.socket) -> socket.socket:
        """Read the client's `CONNECT host:port HTTP/1.1` and answer that it is connected."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (data := client.recv(1)) or len(head) > LONGEST_HEAD_BYTES:
                raise ConnectionError("no CONNECT came")
            head += data
        method, _, rest = head.decode("latin-1").partition(" ")
        host, _, port = rest.partition(" ")[0].rpartition(":")
        if method != "CONNECT" or not port.isdecimal():
            raise ConnectionError("this is a proxy for HTTPS only")
        server = _connect((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return server


def bound(port: int = 0) -> socket.socket:
    """A socket that has a port of this machine, by default any that is free, and does not listen: connections are refused.

    So a server that is away keeps its port. Another process would get it sooner or later.
    """
    keeping = socket.socket()
    keeping.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeping.bind(("127.0.0.1", port))
    return keeping


def _connect(target: tuple[str, int]) -> socket.socket:
    server = socket.create_connection(target, timeout=CONNECT_SECONDS)
    server.settimeout(None)
    return server
