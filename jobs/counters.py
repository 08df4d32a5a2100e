"""Counts of what happens seldom and matters: kept in MongoDB, so that they are right across processes and restarts.

One document for each name and its labels in `counters`: `{_id: {name, labels…}, n}`.
"""

from __future__ import annotations

import structlog

from jobs.database import DatabaseUnavailable, available, database

log = structlog.get_logger()


def count(name: str, n: int = 1, **labels: str) -> None:
    """Count `n` more. With MongoDB away the count is lost, and said."""
    try:
        with available():
            database().collection("counters").update_one({"_id": {"name": name, **labels}}, {"$inc": {"n": n}}, upsert=True)
    except DatabaseUnavailable as error:
        log.warning("a count is lost", counter=name, reason=str(error))
