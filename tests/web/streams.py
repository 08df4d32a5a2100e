"""A client of server-sent events, over a socket of its own."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 40


@dataclass(frozen=True)
class Event:
    """What a browser would be told. `name` empty: a block without data, which only sets the last event's id."""

    name: str
    id: str
    data: Any


class Stream:
    """An open stream. `last_id` is what a browser would send when it comes back."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE_SECONDS)
        self._connection.request("GET", f"{address.path}?{address.query}", headers=headers or {})
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.headers = self._answer.headers
        self.last_id = ""

    def next(self) -> Event | None:
        """The next event; None: the stream has ended."""
        fields: dict[str, str] = {}
        while line := self._answer.readline().decode():
            if line == "\n":
                if not fields.keys() - {"retry"}:
                    fields = {}
                    continue
                self.last_id = fields.get("id", self.last_id)
                data = fields.get("data")
                return Event(fields.get("event", "") if data else "", fields.get("id", ""), json.loads(data) if data else None)
            name, _, value = line.rstrip("\n").partition(": ")
            if name:  # else it is a comment
                fields[name] = value
        return None

    def until(self, name: str, **wanted: Any) -> Event:
        """The next event of that name whose data has these values."""
        while event := self.next():
            if event.name == name and wanted.items() <= event.data.items():
                return event
        raise AssertionError(f"the stream ended before an event {name} with {wanted}")

    def rest(self) -> list[Event]:
        """All that comes before the stream's end."""
        return [*iter(self.next, None)]  # type: ignore[list-item]

    def close(self) -> None:
        self._answer.close()
        self._connection.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
