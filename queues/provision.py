"""Make the queues as the catalogue describes them: dead-letter queues first, then the queues that point at them.

Idempotent: what is right already is left alone, and so is what the catalogue says nothing of (a policy, a KMS key, other tags).
`python -m queues.provision` does it from the command line; `celery -A tasks queues plan` tells what it would do.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from queues.catalogue import KINDS, Kind
from queues.clients import QueueError, QueueMissing, QueueRefused, sqs, translated
from queues.plan import QueuePlan, is_unknown_attribute, look
from queues.queue import Queue
from queues.wanted import ALLOWED, TAG, Wanted, wanted
from settings import SettingsError

Report = Callable[[str], None]

APPEARS_SECONDS = 10.0
"""A queue just made may be unknown to SQS for a moment.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html"""
LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A queue that is as it should be now, as far as that goes; `plan` is what was to be done about it."""

    url: str
    plan: QueuePlan

    def __str__(self) -> str:
        if self.plan.does == "create":
            return f"{self.url}  created"
        names = ", ".join(change.attribute for change in self.plan.changes)
        said = [f"changed {names}"] if names else []
        return f"{self.url}  {'; '.join(said + self.plan.impossible) or 'as it should be'}"


def apply(report: Report = lambda line: None) -> dict[str, str]:
    """Make what is missing, change what differs; the URL of every queue by its name.

    `report` gets a line for each queue: its URL, and what was done.

    Raises:
        QueueError: SQS is away or refuses.
    """
    urls: dict[str, str] = {}
    for applied in carry_out():
        urls[applied.plan.name] = applied.url
        report(str(applied))
    return urls


def carry_out(kinds: Iterable[Kind] | None = None) -> Iterator[Applied]:
    """As `apply`, each queue told when it is done."""
    for kind in KINDS.values() if kinds is None else kinds:
        dead_letters, *lanes = wanted(kind)
        planned = look(dead_letters)
        _put_right(dead_letters, planned, but=ALLOWED)
        arns = _arns(dead_letters.queue)
        yield Applied(url=dead_letters.queue.url, plan=planned)
        for lane in lanes:
            planned = look(lane)
            _put_right(lane, planned, arns=arns)
            yield Applied(url=lane.queue.url, plan=planned)
        _allow(dead_letters, arns)


def _allow(dead_letters: Wanted, arns: str) -> None:
    """Let only the lanes' queues send their dead letters here. Comes last, since those queues have to exist."""
    try:
        _put_right(dead_letters, look(dead_letters), arns=arns)
    except QueueRefused as error:
        if not is_unknown_attribute(error):
            raise


def _put_right(queue: Wanted, planned: QueuePlan, *, arns: str = "", but: str = "") -> None:
    """Carry out what is planned, `but` for one attribute. `arns` is what every queue's ARN begins with."""
    names = [change.attribute for change in planned.changes if change.attribute != but]
    attributes = {name: queue.spelled(name, arns) for name in names if not name.startswith(TAG)}
    tags = {name: value for name, value in queue.tags.items() if TAG + name in names}
    with translated(queue.queue.name):
        if planned.does == "create":
            sqs().create_queue(QueueName=queue.queue.name, Attributes=cast(Any, attributes), tags=tags)
            return
        if attributes:
            sqs().set_queue_attributes(QueueUrl=queue.queue.url, Attributes=cast(Any, attributes))
        if tags:
            sqs().tag_queue(QueueUrl=queue.queue.url, Tags=tags)


def _arns(made: Queue) -> str:
    """What the ARNs of this queue's account and region begin with; waits until a queue just made can be asked."""
    deadline = time.monotonic() + APPEARS_SECONDS
    while True:
        try:
            return made.attributes()["QueueArn"].removesuffix(made.name)
        except QueueMissing:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    try:
        apply(lambda line: print(line))  # noqa: T201 - a command prints
    except (QueueError, SettingsError) as error:
        sys.exit(f"queues: {error}")
