"""Webhooks, for who receives them: the secret they are signed with, and what became of a job's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response
from pydantic import Field

from jobs.roles import Role
from jobs.webhook_secrets import webhook_secret
from web.asked import asked_job
from web.identity import current_user, require
from web.operations import Operation, Reply, describe
from web.render import Shape, answer

blueprint = Blueprint("webhooks", __name__)


class WebhookSecret(Shape):
    """What your webhooks are signed with."""

    secret: str = Field(description="As Standard Webhooks has it: `whsec_` and 32 bytes in base64.")


class Delivery(Shape):
    """A try to tell the address of a job's `callbackUrl` about its end."""

    webhook_id: str = Field(description="The `webhook-id` that it was sent with: the same at each try.")
    attempt: int = Field(description="Which try, from 1.")
    event: str = Field(description="What was told, as in `job.completed`.")
    at: datetime = Field(description="When it was over.")
    status: int | None = Field(description="The HTTP status that came back; null where nothing did.")
    seconds: float = Field(description="How long it took.")
    error: str | None = Field(description="Why it was not taken; null if it was.")


class Deliveries(Shape):
    """A job's webhooks."""

    deliveries: list[Delivery] = Field(description="The last 20 tries, the oldest first.")

    @classmethod
    def of(cls, entries: list[Any]) -> Deliveries:
        names = Delivery.model_fields.keys()
        return cls(deliveries=[Delivery(**{name: entry[name] for name in names}) for entry in entries])


SECRET = WebhookSecret(secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
LOG = Deliveries(
    deliveries=[
        Delivery(
            webhook_id="e4a1c26d1f5c5c0e8f0d54b2a5c7d2f0",
            attempt=1,
            event="job.completed",
            at=datetime(2026, 1, 15, 10, 31, 13, tzinfo=UTC),
            status=204,
            seconds=0.12,
            error=None,
        )
    ]
)


@blueprint.get("/api/webhooks/secret")
@describe(
    Operation(
        section="Webhooks",
        summary="See the secret of your webhooks",
        detail="Every webhook about a job of yours is signed with it (Standard Webhooks, HMAC-SHA256), so you can tell that it "
        "is ours. It is made when it is first asked for, and stays.",
        replies={200: Reply(what="The secret.", shape=WebhookSecret, example=SECRET)},
    )
)
@require(Role.USER)
def secret() -> Response:
    return answer(WebhookSecret(secret=webhook_secret(current_user().id)), headers={"Cache-Control": "no-store"})


@blueprint.get("/api/jobs/<job_id>/deliveries")
@describe(
    Operation(
        section="Webhooks",
        summary="See what became of a job's webhooks",
        replies={200: Reply(what="The tries to deliver.", shape=Deliveries, example=LOG)},
    )
)
def deliveries(job_id: str) -> Response:
    return answer(Deliveries.of(asked_job(job_id).deliveries))
