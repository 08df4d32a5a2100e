"""The monitor's connection: what Celery's events and its remote control travel on, because SQS has no broadcast."""

from __future__ import annotations

from kombu import Connection

from settings import settings

MONGODB = ("mongodb://", "mongodb+srv://")


def monitor_connection() -> Connection:
    """A connection, opened at its first use: to MongoDB, or to whatever kombu can broadcast with that MONITOR_URL names."""
    url = settings().monitor_url
    if url is None or url.startswith(MONGODB):
        return Connection("monitor://", transport="monitoring.mongodb_transport:Transport")  # which reads the settings itself
    return Connection(url)
