"""A client of server-sent events: what a browser would be told, from a response of Flask's client or over a real socket."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from flask.testing import FlaskClient

PATIENCE_SECONDS = 40
MOST_COMMENTS = 8
"""One comes each 15 seconds. After so many in a row, what a test waits for does not come."""


@dataclass(frozen=True)
class Event:
    """An event, or (without a name) a block that only says what the last event's id is."""

    name: str
    id: str
    data: Any


class Stream:
    """An open stream of events, from its lines."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = (line.decode().rstrip("\n") for line in lines)
        self.last_id = ""
        """What a browser would say when it comes back."""
        self.comments = 0

    def __iter__(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        comments = 0
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                comments += 1
                assert comments <= MOST_COMMENTS, "no event came"
            elif line:
                fields[name] = value
            elif fields.keys() & {"id", "data"}:
                self.last_id = fields.get("id", self.last_id)
                data = json.loads(fields["data"]) if "data" in fields else None
                yield Event(fields.get("event", "") if data is not None else "", fields.get("id", ""), data)
                fields, comments = {}, 0

    def next(self, name: str = "", **wanted: Any) -> Event:
        """The next event, of that name whose data has these values."""
        for event in self:
            if event.name and name in ("", event.name) and wanted.items() <= event.data.items():
                return event
        raise AssertionError(f"the stream ended before an event {name} with {wanted}")

    def rest(self) -> list[Event]:
        """All events before the stream's end."""
        return [event for event in self if event.name]


class LocalStream(Stream):
    """Over Flask's test client."""

    def __init__(self, client: FlaskClient, path: str, **headers: str) -> None:
        self.answer = client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert self.answer.status_code == 200, self.answer.text
        super().__init__(line + b"\n" for chunk in self.answer.iter_encoded() for line in chunk.splitlines())

    def __enter__(self) -> LocalStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.answer.close()


class RemoteStream(Stream):
    """Over a socket."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE_SECONDS)
        self._connection.request("GET", address.path)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        super().__init__(iter(self._answer.readline, b""))

    def close(self) -> None:
        self._answer.close()
        self._connection.close()
