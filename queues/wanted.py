"""The queues as they should be, from the catalogue: names, attributes, tags, and which takes whose dead letters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from queues.catalogue import DEAD_LETTER_RETENTION_SECONDS, NORMAL, Kind, prefixed
from queues.queue import Queue
from settings import settings

DEAD_LETTERS = "dead-letters"
"""Beside the lanes: the queue for what can't go on."""
REDRIVE: Final = "RedrivePolicy"
ALLOWED: Final = "RedriveAllowPolicy"
TAG = "tag "
"""Begins the name of a tag among attributes."""
FIFO = {"FifoQueue": "true", "ContentBasedDeduplication": "false"}
FIFO_BY_GROUP = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
"""High throughput: each group has its own share.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/high-throughput-fifo.html"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A queue as it should be, attributes spelled as SQS does."""

    queue: Queue
    kind: str
    lane: str
    """A lane, or `DEAD_LETTERS`."""
    given: str | None
    """Its URL, where the environment gives one: such a queue is changed but never made."""
    attributes: Mapping[str, str]
    dead_letters: tuple[str, int] | None = None
    """The name of its dead-letter queue, and after how many receives a message goes there."""
    sources: frozenset[str] = frozenset()
    """The names of the queues whose dead letters it takes."""

    @property
    def tags(self) -> dict[str, str]:
        return {"project": "pressroom", "kind": self.kind, "lane": self.lane}

    @property
    def variable(self) -> str:
        """The environment's variable that can give its URL."""
        return f"SQS_{self.kind.upper()}_QUEUE_URL"

    def in_words(self) -> dict[str, str]:
        """All that it should be; policies are told by the queues' names, not their ARNs."""
        said = dict(self.attributes)
        if self.dead_letters:
            said[REDRIVE] = _redrive_in_words(*self.dead_letters)
        if self.sources:
            said[ALLOWED] = _allowed_in_words(self.sources)
        return said | {f"{TAG}{name}": value for name, value in self.tags.items()}

    def spelled(self, attribute: str, arns: str) -> str:
        """An attribute as SQS takes it. `arns` is what every queue's ARN begins with."""
        if attribute == REDRIVE and self.dead_letters:
            dead_letters, receives = self.dead_letters
            return json.dumps({"deadLetterTargetArn": arns + dead_letters, "maxReceiveCount": receives})
        if attribute == ALLOWED:
            sources = [arns + source for source in sorted(self.sources)]
            return json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": sources})
        return self.attributes[attribute]


def wanted(kind: Kind) -> list[Wanted]:
    """The dead-letter queue of a kind, then the queues of its lanes."""
    lanes = [_work_queue(kind, lane) for lane in kind.lanes]
    return [_dead_letter_queue(kind, frozenset(lane.queue.name for lane in lanes)), *lanes]


def _dead_letter_queue(kind: Kind, sources: frozenset[str]) -> Wanted:
    attributes = {"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_SECONDS), "SqsManagedSseEnabled": "true"}
    if kind.fifo:
        attributes |= FIFO
    queue = Queue(prefixed(kind.dead_letter_name))
    return Wanted(queue=queue, kind=kind.name, lane=DEAD_LETTERS, given=None, attributes=attributes, sources=sources)


def _work_queue(kind: Kind, lane: str) -> Wanted:
    attributes = {
        "VisibilityTimeout": str(kind.visibility_seconds),
        "MessageRetentionPeriod": str(kind.retention_seconds),
        "ReceiveMessageWaitTimeSeconds": str(settings().sqs_wait_time_seconds),
        "DelaySeconds": "0",
        "SqsManagedSseEnabled": "true",
    }
    if kind.fifo:
        attributes |= FIFO | FIFO_BY_GROUP
    given = settings().queue_url(kind.name) if lane == NORMAL else None
    return Wanted(
        queue=Queue(prefixed(kind.queue_name(lane)), given),
        kind=kind.name,
        lane=lane,
        given=given,
        attributes=attributes,
        dead_letters=(prefixed(kind.dead_letter_name), kind.max_receives),
    )


def in_words(found: Mapping[str, str]) -> dict[str, str]:
    """Attributes as SQS answers them, told as `Wanted.in_words` does."""
    said = dict(found)
    if found.get(REDRIVE):
        policy = json.loads(found[REDRIVE])
        said[REDRIVE] = _redrive_in_words(_name_in(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"]))
    if found.get(ALLOWED):
        policy = json.loads(found[ALLOWED])
        sources = policy.get("sourceQueueArns", [])
        said[ALLOWED] = _allowed_in_words(map(_name_in, sources)) if sources else policy["redrivePermission"]
    return said


def _redrive_in_words(dead_letters: str, receives: int) -> str:
    return f"to {dead_letters} after {receives} receives"


def _allowed_in_words(names: Iterable[str]) -> str:
    return "from " + ", ".join(sorted(names))


def _name_in(arn: str) -> str:
    return arn.rpartition(":")[2]
