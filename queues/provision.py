"""Make the queues as the catalogue describes them: dead-letter queues first, then the queues that point at them.

Idempotent: what is right already is left alone. `python -m queues.provision` does it from the command line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from queues.catalogue import DEAD_LETTER_RETENTION_SECONDS, KINDS, Kind, prefixed
from queues.clients import QueueError, QueueMissing, sqs, translated
from settings import SettingsError, settings

Report = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """A queue as it should be, attribute values as SQS spells them."""

    name: str
    attributes: dict[str, str]


def apply(report: Report = lambda line: None) -> dict[str, str]:
    """Make what is missing, change what differs; the URL of every queue by its name.

    `report` gets a line for each queue: its URL, and what was done.

    Raises:
        QueueError: SQS is away or refuses.
    """
    urls: dict[str, str] = {}
    for kind in KINDS.values():
        dead_letters = _dead_letter_queue(kind)
        urls[dead_letters.name] = _make(dead_letters, report)
        arn = _attributes(dead_letters.name, urls[dead_letters.name])["QueueArn"]
        for lane in kind.lanes:
            work = _work_queue(kind, lane, arn)
            urls[work.name] = _make(work, report)
    return urls


def _dead_letter_queue(kind: Kind) -> Wanted:
    return Wanted(
        prefixed(kind.dead_letter_name),
        {"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_SECONDS), "SqsManagedSseEnabled": "true"},
    )


def _work_queue(kind: Kind, lane: str, dead_letter_arn: str) -> Wanted:
    redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": kind.max_receives}
    return Wanted(
        prefixed(kind.queue_name(lane)),
        {
            "VisibilityTimeout": str(kind.visibility_seconds),
            "MessageRetentionPeriod": str(kind.retention_seconds),
            "ReceiveMessageWaitTimeSeconds": str(settings().sqs_wait_time_seconds),
            "SqsManagedSseEnabled": "true",
            "RedrivePolicy": json.dumps(redrive),
        },
    )


def _make(wanted: Wanted, report: Report) -> str:
    try:
        with translated(wanted.name):
            url = sqs().get_queue_url(QueueName=wanted.name)["QueueUrl"]
    except QueueMissing:
        with translated(wanted.name):
            url = sqs().create_queue(QueueName=wanted.name, Attributes=cast(Any, wanted.attributes))["QueueUrl"]
        report(f"{url}  created")
        return url
    changes = dict(_differences(wanted, _attributes(wanted.name, url)))
    if changes:
        with translated(wanted.name):
            sqs().set_queue_attributes(QueueUrl=url, Attributes=cast(Any, changes))
    report(f"{url}  {'changed ' + ', '.join(changes) if changes else 'as it should be'}")
    return url


def _attributes(name: str, url: str) -> dict[str, str]:
    with translated(name):
        answer = sqs().get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(key): value for key, value in answer["Attributes"].items()}


def _differences(wanted: Wanted, found: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in wanted.attributes.items():
        if name == "SqsManagedSseEnabled" and name not in found:
            continue  # AWS always reports it; a local server that does not has no such thing to change
        if _comparable(value) != _comparable(found.get(name, "")):
            yield name, value


def _comparable(value: str) -> object:
    """Policies are JSON, whose spelling differs between servers: numbers there may come back as texts."""
    if not value.startswith("{"):
        return value
    return {key: str(part) for key, part in json.loads(value).items()}


if __name__ == "__main__":
    try:
        apply(lambda line: print(line))  # noqa: T201 - a command prints
    except (QueueError, SettingsError) as error:
        sys.exit(f"queues: {error}")
