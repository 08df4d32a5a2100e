"""A TCP forwarder before a server, so that a test can take the server away and bring it back at the same address."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock, Thread
from types import TracebackType


class Forwarder:
    """Listens on a port of its own and forwards to `host:port`. Cut, it refuses connections and breaks those it has."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._lock = Lock()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.restore()

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cut()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """The server is away from now on."""
        with self._lock:
            sockets = [*self._open, *([self._listener] if self._listener else [])]
            self._open, self._listener = [], None
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def restore(self) -> None:
        """The server is there again."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = listener.getsockname()[1]
        with self._lock:
            self._listener = listener
        Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            with self._lock:
                is_cut = self._listener is not listener
                if not is_cut:
                    self._open += [client, server]
            if is_cut:
                client.close()
                server.close()
                return
            for source, sink in ((client, server), (server, client)):
                Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
