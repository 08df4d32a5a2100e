"""Orders that don't come by HTTP: messages of other languages and of Celery's clients, and calls of tasks.

Each becomes a job by the same submission as the API's, once, however often the order comes: its job's id is in it. What the
API would answer with 422 makes no job here either: the message is set aside as it was sent, with the reason, so that its sender
finds what he wrote beside what is wrong with it, and can send it again, corrected, under the same id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog
from bson import encode
from bson.errors import BSONError
from pydantic import ValidationError

from jobs.document import Job
from jobs.errors import InvalidPayload
from jobs.submit import Order, Priority, submit
from queues.catalogue import HIGH, Kind
from queues.deliveries import Delete, Delivery, SetAside, Settlement
from queues.queue import queue_for

if TYPE_CHECKING:
    from providers.requests import Payload

log = structlog.get_logger()

MOST_FAULTS = 5
MOST_CHARACTERS_SHOWN = 60


class OrderRefused(InvalidPayload):
    """No job can be made of this order. Correct it and send it again."""


def take_in(kind: Kind, model: type[Payload], delivery: Delivery) -> Settlement:
    """Make a job of what a message orders; what becomes of the message. Taking it in again changes nothing.

    (A queue that is being emptied refuses new orders at the API; what lies in it already is taken in.)

    Raises:
        DatabaseUnavailable: MongoDB is away; nothing was decided.
    """
    said = delivery.job
    assert said.order is not None
    try:
        order = Order(
            kind=kind.name,
            payload=accepted_payload(model, said.order.payload),
            user_id=said.user_id,
            job_id=said.job_id,
            priority=_priority(kind, delivery),
            run_at=said.order.run_at,
            expires_at=said.order.expires_at,
        )
        job = submit_once(model, order)
    except InvalidPayload as error:
        return SetAside(str(error))
    if said.order.ignored:
        log.warning("an order has fields that mean nothing here", fields=said.order.ignored, **job.log_context())
    return Delete()


def submit_once(model: type[Payload], order: Order) -> Job:
    """The job of an order that names its id, new or as the same order made it before.

    Raises:
        OrderRefused: the id is that of another order.
        DatabaseUnavailable: nothing was accepted, as far as we know.
    """
    job = submit(order)
    if (job.user_id, job.kind) != (order.user_id, order.kind):
        raise OrderRefused(f"field jobId: another order has the id {job.id}. Send this one with an id of its own.")
    if not _are_alike(model, job.payload, order.payload):
        raise OrderRefused(f"field jobId: there is a job {job.id} with another payload. Send this one with an id of its own.")
    return job


def accepted_payload(model: type[Payload], payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The payload as jobs keep it, defaults filled in.

    Raises:
        OrderRefused: its kind does not take it; the message names each field, what is wrong with it, and what should be there.
    """
    try:
        accepted = model.model_validate(dict(payload), by_alias=True, by_name=False).model_dump(mode="json", by_alias=True)
        encode(accepted)
    except ValidationError as error:
        raise OrderRefused(_in_words(error)) from None
    except (BSONError, OverflowError, UnicodeError, RecursionError) as error:
        raise OrderRefused(f"field payload can't be stored: {error}. Correct it and send it again.") from None
    return accepted


def _are_alike(model: type[Payload], one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two payloads order the same, be one of them written by an older release."""
    try:
        return model.model_validate(dict(one)) == model.model_validate(dict(other))
    except ValidationError:
        return False


def _priority(kind: Kind, delivery: Delivery) -> Priority:
    """As the message's attribute says, or the queue that it came by."""
    is_high = delivery.message.attributes.get("Priority") == HIGH
    came_by_high = kind.has_high_lane and delivery.queue == queue_for(kind.name, HIGH)
    return "high" if is_high or came_by_high else "normal"


def _in_words(error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    told = [_fault(fault["loc"], fault["msg"], fault["type"], fault["input"]) for fault in faults[:MOST_FAULTS]]
    more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
    return f"{'; '.join(told)}{more}. Correct it and send it again."


def _fault(way: tuple[int | str, ...], message: str, kind: str, value: object) -> str:
    field = ".".join(map(str, ("payload", *way)))[: MOST_CHARACTERS_SHOWN * 2]
    words = message[:1].lower() + message[1:]
    if kind == "missing" or isinstance(value, dict | list):
        return f"field {field}: {words}"
    shown = json.dumps(value, ensure_ascii=False, default=str)
    shown = shown if len(shown) <= MOST_CHARACTERS_SHOWN else shown[:MOST_CHARACTERS_SHOWN] + "…"
    return f"field {field} is {shown}: {words}"
