"""The queues: how they are, and holding them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Annotated, Self

from flask import Blueprint, Response
from pydantic import Field, StringConstraints

from jobs.database import DatabaseUnavailable
from jobs.draining import drains
from jobs.glance import Glance
from jobs.overview import Overview, overview
from jobs.pauses import Pause, pauses
from jobs.roles import Role
from providers.requests import Payload
from queues.catalogue import KINDS, Kind
from queues.queue import dead_letters_of, queue_for
from web.body import read
from web.examples import CREATED
from web.identity import current_user, require
from web.operations import Operation, Reply, describe
from web.problems import not_found
from web.render import Shape, answer

HOLDS_SECONDS = 3.0
"""However many ask, SQS and MongoDB are asked so often at the most."""
BOTH_LANES = "Of the kind; its lanes have it together."

blueprint = Blueprint("queues", __name__)


class PauseShape(Shape):
    """Why nothing is received from a queue."""

    reason: str = Field(description="Why.")
    by: str = Field(description="Who paused it by hand; `outage` where its AI provider is down.")
    since: datetime = Field(description="Since when.")
    next_try: datetime | None = Field(description="When the provider is tried again; null for a pause by hand.")

    @classmethod
    def of(cls, pause: Pause | None) -> Self | None:
        return cls.model_validate(pause, from_attributes=True) if pause else None


class QueueShape(Shape):
    """A queue, as it was within the last seconds. Numbers are SQS's estimates; null where the queue does not exist."""

    name: str = Field(description="Its name at SQS.")
    kind: str = Field(description="The kind of job that it carries.")
    lane: str = Field(description="The priority of the jobs in it.")
    visible: int | None = Field(description="Messages that wait.")
    in_flight: int | None = Field(description="Messages that workers have.")
    delayed: int | None = Field(description="Messages that are not to be received yet.")
    dead_letters: int | None = Field(description=f"Messages in the dead-letter queue. {BOTH_LANES}")
    oldest_startable_seconds: float | None = Field(
        description=f"For how long the oldest job that could start has waited; null: there is none. {BOTH_LANES}"
    )
    receive_per_minute: float = Field(description=f"Messages received a minute, over the last five. {BOTH_LANES}")
    workers: int = Field(description=f"Workers that receive from it. {BOTH_LANES}")
    draining: bool = Field(description=f"Whether it takes no new jobs because somebody empties it. {BOTH_LANES}")
    paused: PauseShape | None = Field(description=f"Why nothing is received from it, if nothing is. {BOTH_LANES}")

    @classmethod
    def lanes_of(cls, seen: Overview) -> Iterator[Self]:
        for lane in KINDS[seen.kind].lanes:
            depth = seen.depth.lanes[lane]
            yield cls(
                name=queue_for(seen.kind, lane).name,
                kind=seen.kind,
                lane=lane,
                visible=depth and depth.visible,
                in_flight=depth and depth.in_flight,
                delayed=depth and depth.delayed,
                dead_letters=seen.depth.dead_letters and seen.depth.dead_letters.total,
                oldest_startable_seconds=seen.backlog.oldest_startable_seconds,
                receive_per_minute=seen.receives_per_minute,
                workers=seen.workers,
                draining=seen.drain is not None,
                paused=PauseShape.of(seen.pause),
            )


class QueuesShape(Shape):
    """Every queue."""

    queues: list[QueueShape]


class HeldShape(Shape):
    """Whether a kind's queues are received from."""

    kind: str = Field(description="The kind.")
    paused: PauseShape | None = Field(description="Why nothing is received from them; null: they are received from.")


class ResumedShape(HeldShape):
    """What a resume has changed. A pause for an outage stays, and ends by itself."""

    resumed: bool = Field(description="Whether a pause by hand has ended.")
    takes_new_jobs_again: bool = Field(description="Whether it was emptied, and takes new jobs again.")


class PauseOrder(Payload):
    """Why a queue is paused."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)] = Field(
        description="Why, for whoever wonders."
    )


PAUSED = PauseShape(reason="The provider's bill is being looked at", by="ada", since=CREATED, next_try=None)
EXAMPLE = QueuesShape(
    queues=[
        QueueShape(
            name="articles",
            kind="articles",
            lane="normal",
            visible=12,
            in_flight=16,
            delayed=0,
            dead_letters=1,
            oldest_startable_seconds=4.2,
            receive_per_minute=88.0,
            workers=2,
            draining=False,
            paused=None,
        )
    ]
)


def kind_of(queue: str) -> Kind:
    """The kind that a path names: by its name, or by that of one of its queues at SQS.

    Raises:
        Problem: 404.
    """
    for kind in KINDS.values():
        if queue == kind.name or queue in {queue_for(kind.name, lane).name for lane in kind.lanes}:
            return kind
        if queue == dead_letters_of(kind.name).name:
            return kind
    raise not_found(f"such queue; there are {', '.join(KINDS)}")


@blueprint.get("/api/queues")
@describe(
    Operation(
        section="Queues",
        summary="List the queues",
        detail="As they were within the last three seconds. Takes the role operator or viewer.",
        replies={200: Reply(what="Every queue, lane by lane.", shape=QueuesShape, example=EXAMPLE)},
    )
)
@require(Role.VIEWER)
def index() -> Response:
    return answer(QueuesShape(queues=[row for each in overviews() for row in QueueShape.lanes_of(each)]))


@blueprint.post("/api/queues/<queue>/pause")
@describe(
    Operation(
        section="Queues",
        summary="Pause a queue",
        detail="Workers receive nothing more from the kind's queues, within about two seconds; what runs goes on to its end. "
        "New jobs are accepted and wait. Lasts until it is resumed. Takes the role operator.",
        body=PauseOrder,
        examples={"": {"reason": PAUSED.reason}},
        replies={200: Reply(what="It is paused.", shape=HeldShape, example=HeldShape(kind="articles", paused=PAUSED))},
    )
)
@require(Role.OPERATOR)
def pause(queue: str) -> Response:
    kind = kind_of(queue)
    pauses().pause(kind.name, read(PauseOrder).reason, current_user().id)
    look_again()
    return answer(HeldShape(kind=kind.name, paused=PauseShape.of(pauses().known().get(kind.name))))


@blueprint.post("/api/queues/<queue>/resume")
@describe(
    Operation(
        section="Queues",
        summary="Resume a queue",
        detail="Ends a pause by hand, and lets a queue that was emptied take new jobs again. Takes the role operator.",
        replies={
            200: Reply(
                what="What has changed.",
                shape=ResumedShape,
                example=ResumedShape(kind="articles", paused=None, resumed=True, takes_new_jobs_again=False),
            )
        },
    )
)
@require(Role.OPERATOR)
def resume(queue: str) -> Response:
    kind, operator = kind_of(queue), current_user().id
    resumed = pauses().resume(kind.name, operator)
    was_emptied = drains().end(kind.name, operator)
    look_again()
    still = PauseShape.of(pauses().known().get(kind.name))
    return answer(ResumedShape(kind=kind.name, paused=still, resumed=resumed, takes_new_jobs_again=was_emptied))


def overviews() -> list[Overview]:
    """How every queue was within the last three seconds; with MongoDB away, as it was seen last.

    Raises:
        QueueError: SQS is away or refuses.
        DatabaseUnavailable: MongoDB is, and was all the time.
    """
    seen = _seen()()
    if seen is None:
        raise DatabaseUnavailable
    return seen


def look_again() -> None:
    """This process has just changed what there is to see."""
    _seen().forget()


@cache
def _seen() -> Glance[list[Overview] | None]:
    return Glance(lambda: overview(KINDS.values()), at_first=None, holds_seconds=HOLDS_SECONDS)
