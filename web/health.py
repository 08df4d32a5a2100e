"""Whether this process lives, and whether what it needs answers."""

from __future__ import annotations

from typing import Literal

import structlog
from flask import Blueprint, Response

from jobs.database import DatabaseUnavailable, database
from queues.catalogue import KINDS
from queues.clients import QueueError, QueueMissing, QueueRefused
from queues.queue import queue_for
from settings import settings
from web.operations import Operation, Reply, describe
from web.problems import RETRY_AFTER_SECONDS, Problem
from web.render import Shape, answer

log = structlog.get_logger("web")

blueprint = Blueprint("health", __name__)


class Alive(Shape):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(Alive):
    """What the process needs answers too."""

    mongodb: Literal["ok"] = "ok"
    sqs: Literal["ok", "none"] = "ok"


@blueprint.get("/healthz")
@describe(
    Operation(
        section="Health",
        summary="Is the process alive?",
        detail="For whoever restarts it. Asks nobody else.",
        replies={200: Reply(what="It is.", shape=Alive)},
    )
)
def alive() -> Response:
    return answer(Alive())


@blueprint.get("/readyz")
@describe(
    Operation(
        section="Health",
        summary="Is it ready to work?",
        detail="Asks MongoDB and the SQS queue of every kind; `detail` of a 503 names what does not answer.",
        problems=(503,),
        replies={200: Reply(what="It is.", shape=Ready)},
    )
)
def ready() -> Response:
    if away := [*_mongodb_faults(), *_sqs_faults()]:
        raise Problem(503, "Not ready. " + " ".join(away), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return answer(Ready(sqs="ok" if settings().uses_sqs else "none"))


def _mongodb_faults() -> list[str]:
    try:
        database().ping()
    except DatabaseUnavailable:
        return ["MongoDB can't be reached: see that it runs and that MONGODB_URI names it."]
    return []


def _sqs_faults() -> list[str]:
    if not settings().uses_sqs:
        return []
    for kind in KINDS:
        try:
            queue_for(kind).attributes()
        except QueueError as error:  # the first says it; asking on would add its waiting to that
            log.warning("queue does not answer", kind=kind, reason=str(error))
            return [_in_plain_words(error, kind)]
    return []


def _in_plain_words(error: QueueError, kind: str) -> str:
    """Without addresses and names of ours: anybody may ask this; the log has them."""
    match error:
        case QueueMissing():
            return f"SQS has no queue for {kind}: make the queues."
        case QueueRefused():
            return "SQS refuses us: see that region and credentials are right. The log has its reason."
    return "SQS can't be reached: see that it runs and that AWS_ENDPOINT_URL, if set, names it."
