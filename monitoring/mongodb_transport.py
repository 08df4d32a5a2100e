"""A kombu transport over the monitor's store: each message is a document, each queue a reader of its own from its binding on.

Made for what Celery's monitoring needs, and no more: events (a topic of which everybody wants all), commands (a fanout) and
their replies (direct). Queues keep nothing and are nobody's to declare, purge or acknowledge.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

import pymongo
from kombu.transport import virtual
from kombu.utils.json import dumps, loads
from pymongo.errors import ConnectionFailure, OperationFailure

from monitoring.store import CONTROL, EVENTS, monitor_store
from monitoring.tail import Tail

AWAIT_SECONDS = {"direct": 0.1, "fanout": 3.0, "topic": 1.0}
"""How long a reader waits at MongoDB, by the type of its exchange. What comes meanwhile comes at once; but whoever collects
replies soon wants to stop, whoever watches now and then, and a worker, which hears commands, never."""


class Channel(virtual.Channel):
    """Publishes to the store and reads from it."""

    supports_fanout = True
    do_restore = False
    body_encoding = None

    def __init__(self, connection: Transport, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._tails: dict[str, Tail] = {}

    def queue_declare(self, queue: str | None = None, passive: bool = False, **kwargs: Any) -> Any:
        return virtual.base.queue_declare_ok_t(queue, 0, 0)

    def basic_publish(self, message: dict[str, Any], exchange: str, routing_key: str, **kwargs: Any) -> None:
        self._inplace_augment_message(message, exchange, routing_key)
        document = {"exchange": exchange, "routing_key": routing_key, "message": dumps(message)}
        monitor_store().append(self._collection(exchange), document)

    def close(self) -> None:
        for queue in [*self._tails]:
            self._forget(queue)
        super().close()

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        wanted = {"exchange": exchange}
        if self._type(exchange) == "direct":
            wanted["routing_key"] = routing_key
        self._tails[queue] = Tail(monitor_store(), self._collection(exchange), wanted, AWAIT_SECONDS[self._type(exchange)])

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        document = self._tails[queue].next() if queue in self._tails else None
        if document is None:
            raise Empty
        return loads(document["message"])

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self._forget(queue)

    def _forget(self, queue: str) -> None:
        if tail := self._tails.pop(queue, None):
            tail.close()

    def _size(self, queue: str) -> int:
        return 0

    def _purge(self, queue: str) -> int:
        return 0

    def _collection(self, exchange: str) -> str:
        return EVENTS if self._type(exchange) == "topic" else CONTROL

    def _type(self, exchange: str) -> str:
        return str(self.state.exchanges[exchange]["type"])


class Transport(virtual.Transport):
    """kombu's view of the monitor's store. Readers never fail for its being away; opening a connection and publishing do."""

    Channel = Channel
    driver_type = "mongodb"
    driver_name = "pymongo"
    default_port = None
    can_parse_url = True
    polling_interval = 0.02
    connection_errors = (*virtual.Transport.connection_errors, ConnectionFailure)
    channel_errors = (*virtual.Transport.channel_errors, OperationFailure)

    implements = virtual.Transport.implements.extend(
        asynchronous=False, exchange_type=frozenset({"direct", "topic", "fanout"}), heartbeats=False
    )

    def establish_connection(self) -> Any:
        monitor_store().ping()
        return super().establish_connection()

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {}

    def driver_version(self) -> str:
        return pymongo.version

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Where the monitor's store is; a password is never shown."""
        return monitor_store().address
