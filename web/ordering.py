"""What a job of any kind is ordered with, held against the rules of its kind; when a right order is refused all the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    create_model,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from jobs.document import Job
from jobs.draining import drains
from jobs.public_addresses import PublicUrl
from jobs.quota import room_for
from jobs.submit import Order, Priority, submit, submit_many
from providers.choice import PROVIDERS
from providers.requests import Payload
from queues.catalogue import KINDS
from settings import settings
from tasks.kinds import payload_model
from web.body import OneOf
from web.identity import User, current_user
from web.problems import Problem

MOST_SECONDS_TO_START = 14 * 86_400
"""As long as the queues keep a message."""
MOST_AHEAD = timedelta(days=366)
MOST_METADATA = 16
QUOTA_RETRY_AFTER_SECONDS = 60
A_TIME = "a time with its zone, as in 2026-12-01T09:00:00Z"


def one_of(names: list[str]) -> AfterValidator:
    """Refuses what is not among `names`, and names them."""

    def check(name: str) -> str:
        if name not in names:
            raise PydanticCustomError("enum", "unknown", {"expected": "one of " + ", ".join(names)})
        return name

    return AfterValidator(check)


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None or moment.tzinfo is None:
            raise ValueError
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("enum", "no time", {"expected": A_TIME}) from None
    if moment > datetime.now(UTC) + MOST_AHEAD:
        raise PydanticCustomError("enum", "too late", {"expected": "a time within the next year"})
    return moment


Provider = Annotated[str, one_of([*PROVIDERS]), Field(json_schema_extra={"enum": [*PROVIDERS]})]
ModelId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str), Field(strict=False)]
METADATA_NAME = r"[A-Za-z0-9_.:-]{1,64}"


def _metadata_name(name: str) -> str:
    if not re.fullmatch(METADATA_NAME, name):
        expected = "under a name of 1 to 64 letters, digits and _ . : -"
        raise PydanticCustomError("enum", "no name", {"expected": expected})
    return name


MetadataName = Annotated[
    str, AfterValidator(_metadata_name), WithJsonSchema({"type": "string", "pattern": f"^{METADATA_NAME}$"})
]
MetadataValue = Annotated[str, StringConstraints(max_length=500)]


class JobOrder(Payload):
    """A job of any kind. Unknown fields are refused."""

    type: str
    payload: BaseModel
    priority: Priority = Field(default="normal", description="`high` starts before what waits as `normal`.")
    run_at: Moment | None = Field(
        default=None,
        description=f"The job starts no earlier: {A_TIME}, at most a year ahead. A time that has passed is now.",
        json_schema_extra={"format": "date-time"},
    )
    expires_in: float | None = Field(
        default=None,
        gt=0,
        le=MOST_SECONDS_TO_START,
        description="The job must start within so many seconds of when it may, or it expires.",
    )
    provider: Provider | None = Field(default=None, description="The AI provider to ask. Left out: the server's own choice.")
    model_id: ModelId | None = Field(default=None, description="The model to ask for. Left out: the provider's own choice.")
    callback_url: PublicUrl | None = Field(
        default=None, description="A web address of yours on the public internet that is told of the job's end."
    )
    metadata: dict[MetadataName, MetadataValue] = Field(
        default={},
        max_length=MOST_METADATA,
        description="Up to 16 texts of yours that the job keeps, each under a name of letters, digits and `_.:-` (at most 64).",
    )

    def order(self, user_id: str) -> Order:
        """The order for a user."""
        return Order(
            kind=self.type,
            payload=self.payload.model_dump(mode="json", by_alias=True),
            user_id=user_id,
            priority=self.priority,
            run_at=self.run_at,
            expires_in_seconds=self.expires_in,
            provider=self.provider,
            model_id=self.model_id,
            metadata=self.metadata,
            callback_url=self.callback_url,
        )


def _refuse_in_order(_: object, info: ValidationInfo) -> None:
    raise PydanticCustomError("not_in_order", "not for this kind", {"kind": info.data.get("type", "these jobs")})


NoTime = SkipJsonSchema[Annotated[None, BeforeValidator(_refuse_in_order)]]
"""Known, so that who sends it is told why it is refused."""


def _order_of(kind: str) -> type[JobOrder]:
    purpose = KINDS[kind].purpose
    fields: dict[str, Any] = {
        "type": (str, Field(description="The kind of job.", json_schema_extra={"const": kind})),
        "payload": (payload_model(kind), Field(description="What the kind needs.")),
    }
    if KINDS[kind].fifo:
        fields["run_at"] = (NoTime, Field(default=None))
    return create_model(
        f"{kind.capitalize()}Order",
        __base__=JobOrder,
        __doc__=f"{purpose[0].upper()}{purpose[1:]}. Unknown fields are refused.",
        **fields,
    )


JOB_ORDER = OneOf("JobOrder", {kind: _order_of(kind) for kind in KINDS})


def accept(order: Order) -> Job:
    """Submit an order of the user at hand, if he may order it now.

    Raises:
        Problem: 403, the kind is an internal one; 429, he has no room for it.
        QueueDraining: its queue is being emptied.
    """
    _refuse([order])
    return submit(order, is_told=True)  # by the line of the request


def accept_all(orders: Sequence[Order]) -> list[Job]:
    """Submit several, or none if he may not order all of them now. Raises as `accept`."""
    _refuse(orders)
    return submit_many(orders)


def _refuse(orders: Sequence[Order]) -> None:
    user = current_user()
    for kind in {order.kind for order in orders}:
        refuse_kind(kind, user)
    if orders and room_for(user.id) < len(orders):
        raise no_room()


def refuse_kind(kind: str, user: User) -> None:
    """Return where jobs of this kind may be ordered by this user now.

    Raises:
        Problem: 403, the kind is an internal one.
        QueueDraining: its queue is being emptied.
    """
    if KINDS[kind].internal and not user.may_operate:
        raise Problem(403, f"Jobs of the type {kind} follow from others by themselves. Ordering one takes the role operator.")
    drains().refuse_order(kind)


def no_room() -> Problem:
    """The user would have more open jobs than he may."""
    return Problem(
        429,
        f"You may have at most {settings().user_active_jobs:,} open jobs at a time. Send this again when some have ended.",
        headers={"Retry-After": str(QUOTA_RETRY_AFTER_SECONDS)},
    )
