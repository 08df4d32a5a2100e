"""How the queues at SQS differ from what the catalogue says, attribute by attribute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from botocore.exceptions import ClientError

from queues.catalogue import KINDS, Kind
from queues.clients import QueueError, QueueMissing, sqs, translated
from queues.queue import Queue
from queues.wanted import ALLOWED, TAG, Wanted, in_words, wanted

ENCRYPTED = "SqsManagedSseEnabled"
UNCHANGEABLE = frozenset({"FifoQueue"})

Does = Literal["create", "change", "nothing"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A difference, in words: policies are told by the queues' names, not their ARNs. `now` is None where there is nothing."""

    attribute: str
    now: str | None
    wanted: str


@dataclass(frozen=True, kw_only=True)
class QueuePlan:
    """What is to be done about a queue."""

    name: str
    kind: str
    lane: str
    does: Does
    changes: list[Change] = field(default_factory=list)
    impossible: list[str] = field(default_factory=list)
    """What no change can put right, each with the remedy."""


def plan(kinds: Iterable[Kind] | None = None) -> list[QueuePlan]:
    """What `queues.provision.apply` would do, in its order; nothing is changed.

    Raises:
        QueueError: SQS is away or refuses.
    """
    return [look(queue) for kind in (KINDS.values() if kinds is None else kinds) for queue in wanted(kind)]


def look(queue: Wanted) -> QueuePlan:
    """What is to be done about one queue."""
    try:
        found = queue.queue.attributes()
    except QueueMissing:
        if queue.given:
            return _plan(queue, "nothing", impossible=[_given_in_vain(queue)])
        return _plan(queue, "create", list(_differences(queue, {})))
    passed_over = {name for name in (ALLOWED, ENCRYPTED) if _is_passed_over(name, queue.queue, found)}
    differing = _differences(queue, in_words(found) | _tags(queue.queue))
    relevant = [change for change in differing if change.attribute not in passed_over]
    changes = [change for change in relevant if change.attribute not in UNCHANGEABLE]
    impossible = [_unchangeable(queue, change) for change in relevant if change.attribute in UNCHANGEABLE]
    return _plan(queue, "change" if changes else "nothing", changes, impossible)


def is_unknown_attribute(error: QueueError) -> bool:
    """Whether the server refused because it knows no such attribute: a local one may know fewer than AWS."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"].endswith("InvalidAttributeName")


def _plan(queue: Wanted, does: Does, changes: list[Change] | None = None, impossible: list[str] | None = None) -> QueuePlan:
    return QueuePlan(
        name=queue.queue.name,
        kind=queue.kind,
        lane=queue.lane,
        does=does,
        changes=changes or [],
        impossible=impossible or [],
    )


def _differences(queue: Wanted, found: Mapping[str, str]) -> Iterator[Change]:
    standard = {"FifoQueue": "false"} if found else {}  # SQS does not say of a standard queue that it is none
    for name, value in queue.in_words().items():
        now = (standard | dict(found)).get(name)
        if now != value:
            yield Change(attribute=name, now=now, wanted=value)


def _is_passed_over(name: str, queue: Queue, found: Mapping[str, str]) -> bool:
    """Whether a difference in this attribute is none of ours."""
    if name == ENCRYPTED:  # by the owner's own key; or at a local server that knows no encryption, since AWS always reports it
        return "KmsMasterKeyId" in found or ENCRYPTED not in found
    return ALLOWED not in found and not _knows_allowed(queue)


def _knows_allowed(queue: Queue) -> bool:
    try:
        with translated(queue.name):
            sqs().get_queue_attributes(QueueUrl=queue.url, AttributeNames=[ALLOWED])
    except QueueError as error:
        if is_unknown_attribute(error):
            return False
        raise
    return True


def _tags(queue: Queue) -> dict[str, str]:
    with translated(queue.name):
        return {TAG + name: value for name, value in sqs().list_queue_tags(QueueUrl=queue.url).get("Tags", {}).items()}


def _given_in_vain(queue: Wanted) -> str:
    return f"{queue.variable} names a queue that does not exist. Correct it, or leave it out to have one made."


def _unchangeable(queue: Wanted, change: Change) -> str:
    another = f"name another one in {queue.variable}" if queue.given else f"`celery -A tasks queues delete {queue.kind}`"
    return f"{change.attribute} is {change.now} and can't be changed in a queue that exists: {another}, then apply again."
