"""The monitor's connection: what Celery's events and its remote control travel on, because SQS has no broadcast."""

from __future__ import annotations

from kombu import Connection
from kombu.exceptions import OperationalError

from settings import settings

ONE_TRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""kombu tries for ever otherwise. Whoever wants to go on trying does so by himself, and says so."""
MONGODB = ("mongodb://", "mongodb+srv://")


def monitor_connection() -> Connection:
    """A connection, opened at its first use: to MongoDB, or to whatever kombu can broadcast with that MONITOR_URL names."""
    url = settings().monitor_url
    if url is None or url.startswith(MONGODB):  # the transport reads the settings itself
        return Connection("monitor://", transport="monitoring.mongodb_transport:Transport", transport_options=ONE_TRY)
    return Connection(url, transport_options=ONE_TRY)


def away_errors(connection: Connection) -> tuple[type[Exception], ...]:
    """What this connection raises while the monitor's store can't be reached, or refuses."""
    return (OperationalError, *connection.connection_errors, *connection.channel_errors)
