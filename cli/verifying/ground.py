"""The ground of a verification: a queue prefix and a database of its own, made before and removed after it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from pymongo import MongoClient

from jobs.counters import flush
from jobs.database import database
from queues.clients import QueueError, sqs, translated
from queues.provision import apply
from settings import settings

PREFIX_CHARACTERS = 40
"""As `settings.Settings.queue_prefix` has it."""
NOT_TAKEN_OVER = (
    *("MEDIA_BUCKET", "SMTP_URL", "MONITOR_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    *("AI_RATE_LIMIT", "USER_RUNNING_JOBS", "USER_ACTIVE_JOBS", "USER_SPENDING_LIMIT", "JOB_ANALYTICS"),
)
"""The user's settings that lead to places which are not the verification's, that hold its jobs up, or make more of them."""


def variables(ai_address: str, lease_seconds: int, wait_seconds: int) -> dict[str, str]:
    """What this process and its workers are told, besides what the environment says."""
    name = f"verify-{secrets.token_hex(3)}"
    configured = settings()
    prefix = f"{configured.queue_prefix}{name}-"
    given_urls = {name: "" for name in os.environ if re.fullmatch(r"SQS_[A-Z]+_QUEUE_URL", name)}
    return {
        **given_urls,
        **dict.fromkeys(NOT_TAKEN_OVER, ""),
        "QUEUE_PREFIX": prefix if len(prefix) <= PREFIX_CHARACTERS else f"{name}-",
        "MONGODB_DATABASE": f"{configured.mongodb_database}_{name.replace('-', '_')}",
        "LEASE_SECONDS": str(lease_seconds),
        "SQS_WAIT_TIME_SECONDS": str(wait_seconds),
        "AI_PROVIDER": "service",
        "AI_SERVICE_URL": ai_address,
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
    }


@contextmanager
def taken_up(told: Mapping[str, str]) -> Iterator[None]:
    """Queues and database as `variables` names them, for this process and those it starts; removed on leaving."""
    os.environ.update(told)
    settings.cache_clear()
    database().ping()
    with ExitStack() as removing:
        removing.callback(_drop_database, settings().mongodb_uri, told["MONGODB_DATABASE"])
        removing.callback(_delete_queues, told["QUEUE_PREFIX"])
        apply()
        yield


def _drop_database(uri: str, name: str) -> None:
    flush()  # what is counted later would bring the database back
    with MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(name)


def _delete_queues(prefix: str) -> None:
    with translated("the verification's queues"):
        pages = sqs().get_paginator("list_queues").paginate(QueueNamePrefix=prefix)
        urls = [url for page in pages for url in page.get("QueueUrls", [])]
    for url in urls:
        with suppress(QueueError), translated(url):
            sqs().delete_queue(QueueUrl=url)
