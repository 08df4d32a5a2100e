"""Webhooks: the news of a job's end, sent to the address that its order named, as Standard Webhooks has it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any

from pydantic import Field

from jobs import public_http
from jobs.document import Job
from jobs.errors import JobError, Permanent, Retryable
from jobs.public_addresses import PublicUrl
from jobs.webhook_log import webhook_log
from jobs.webhook_secrets import signed, webhook_secret
from providers.answers import retry_after_seconds
from providers.base import Usage
from providers.requests import Line, Payload
from tasks.kinds import job
from tasks.patience import patiently
from tasks.run import Run

ANSWER_SECONDS = 10
MOST_WAIT_SECONDS = 86_400
TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class ReceiverFails(Retryable):
    """The webhook's receiver is failing. It is told again."""


class ReceiverRefuses(Permanent):
    """The webhook's receiver refuses it. Mend the receiver, then retry the webhook's job."""


class Notice(Payload):
    """The news for one address."""

    trial = {"url": "https://example.com/", "type": "test", "timestamp": "2026-01-01T00:00:00Z", "data": {}}

    url: PublicUrl = Field(description="Who is told: an address on the public internet.")
    type: Line = Field(description="What has happened, as in `job.completed`.")
    timestamp: Line = Field(description="When it happened.")
    job_id: Line | None = Field(default=None, description="The job that it happened to; its log tells of this delivery.")
    data: dict[str, Any] = Field(description="The job, as it was then.")

    def body(self) -> bytes:
        """What is sent: the same at each attempt."""
        return json.dumps({"type": self.type, "timestamp": self.timestamp, "data": self.data}, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Delivered:
    """The receiver's answer: it has taken the news, or wants none of them (410)."""

    status: int
    usage: Usage = field(default_factory=Usage)

    def keep(self, job: Job) -> Mapping[str, Any]:
        return {"status": self.status, "taken": self.status != HTTPStatus.GONE}


@job("webhooks", payload=Notice)
def deliver(run: Run, notice: Notice) -> Delivered:
    secret = patiently(partial(webhook_secret, run.job.user_id))
    status: int | None = None
    error: JobError | None = None
    with run.reaching_out():
        began = monotonic()
        try:
            status, retry_after = _post(run.job.id, notice, secret)
            error = _meaning(status, retry_after)
        except JobError as unreached:
            error = unreached
        seconds = monotonic() - began
    if notice.job_id is not None:
        note = partial(
            webhook_log().note,
            notice.job_id,
            run.job.user_id,
            webhook_id=run.job.id,
            attempt=run.attempt,
            event=notice.type,
            status=status,
            seconds=seconds,
            error=str(error) if error else None,
        )
        patiently(note)
    if error is not None:
        raise error
    assert status is not None
    return Delivered(status)


def _post(webhook_id: str, notice: Notice, secret: str) -> tuple[int, float | None]:
    """The answer's status, and how long it asks us to wait. The news go to the address that was named and to no other."""
    body = notice.body()
    headers = {"Content-Type": "application/json"} | signed(
        secret, webhook_id=webhook_id, timestamp=int(time.time()), body=body
    )
    with public_http.open(
        "POST",
        notice.url,
        headers=headers,
        body=body,
        read_seconds=ANSWER_SECONDS,
        total_seconds=ANSWER_SECONDS,
        most_bytes=0,  # the status is the answer; what it says besides is not read
        follow_redirects=0,
    ) as answer:
        return answer.status, retry_after_seconds(answer.headers.get("Retry-After"))


def _meaning(status: int, retry_after: float | None) -> JobError | None:
    """What an answer's status means for the webhook; None: it is done."""
    if status in range(200, 300) or status == HTTPStatus.GONE:
        return None
    if status in TRY_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait = None if retry_after is None else min(retry_after, MOST_WAIT_SECONDS)
        return ReceiverFails(f"The webhook's receiver answered HTTP {status}. It is told again.", retry_after_seconds=wait)
    if status in range(300, 400):
        return ReceiverRefuses(
            f"The webhook's receiver answered HTTP {status}, a redirect. Webhooks follow none: name the address it leads to."
        )
    return ReceiverRefuses(f"The webhook's receiver refuses it (HTTP {status}). Mend it, then retry the webhook's job.")
