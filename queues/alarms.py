"""CloudWatch's alarms on the queues, from the catalogue: dead letters, too many messages, too old ones.

An alarm's name begins with its queue's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from queues.catalogue import KINDS, Kind
from queues.clients import make_client, translated

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

PERIOD_SECONDS = 300
LEAST_AGE_SECONDS = 3_600
TOLD = ("AlarmActions", "OKActions", "InsufficientDataActions")
NAMES_A_REQUEST = 100
"""https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html"""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """An alarm as it should be. `settings` are `put_metric_alarm`'s words, which are CloudFormation's too."""

    name: str
    queue: str
    description: str
    metric: str
    threshold: int
    told: Mapping[str, list[str]] = field(default_factory=dict)
    """The ARNs of whom it tells what; empty: as it is now."""

    def settings(self) -> dict[str, Any]:
        return {
            "AlarmName": self.name,
            "AlarmDescription": self.description,
            "Namespace": "AWS/SQS",
            "MetricName": self.metric,
            "Dimensions": [{"Name": "QueueName", "Value": self.queue}],
            "Statistic": "Maximum",
            "Period": PERIOD_SECONDS,
            "EvaluationPeriods": 1,
            "Threshold": float(self.threshold),
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",  # SQS says nothing of queues that nobody uses
            **self.told,
        }


@dataclass(frozen=True)
class Change:
    """What is to be done about an alarm: `differences` are (what, now, wanted); without any, nothing."""

    alarm: Alarm
    is_new: bool
    differences: tuple[tuple[str, Any, Any], ...]

    @property
    def is_needed(self) -> bool:
        return self.is_new or bool(self.differences)


def age_seconds(kind: Kind) -> int:
    """A message older than this is an alarm. Running jobs' messages count too, so it is twice the longest run."""
    return min(max(LEAST_AGE_SECONDS, 2 * kind.max_seconds), kind.retention_seconds - PERIOD_SECONDS)


def wanted(prefix: str, topic: str | None = None) -> Iterator[Alarm]:
    """The alarms of all queues, whose names begin with `prefix`. `topic` is told of their begin and end."""
    told = {"AlarmActions": [topic], "OKActions": [topic]} if topic else {}
    for kind in KINDS.values():
        yield from (replace(alarm, told=told) for alarm in _of_kind(kind, prefix))


def _of_kind(kind: Kind, prefix: str) -> Iterator[Alarm]:
    dead_letters = prefix + kind.dead_letter_name
    yield Alarm(
        name=f"{dead_letters}-not-empty",
        queue=dead_letters,
        description=f"Jobs of {kind.name} failed for good, or messages could not be read. celery -A tasks dead-letters list",
        metric="ApproximateNumberOfMessagesVisible",
        threshold=0,
    )
    for lane in kind.lanes:
        queue = prefix + kind.queue_name(lane)
        yield Alarm(
            name=f"{queue}-depth",
            queue=queue,
            description=f"More than {kind.alarm_depth:,} messages wait: there are too few workers, or they stand still.",
            metric="ApproximateNumberOfMessagesVisible",
            threshold=kind.alarm_depth,
        )
        yield Alarm(
            name=f"{queue}-age",
            queue=queue,
            description=f"A message is older than {age_seconds(kind) // 60:,} minutes: its job waits, or does not end.",
            metric="ApproximateAgeOfOldestMessage",
            threshold=age_seconds(kind),
        )


def plan(prefix: str, topic: str | None = None) -> list[Change]:
    """What `apply` would do, an entry for each alarm. Without `topic`, whom an alarm tells stays as it is.

    Raises:
        QueueError: CloudWatch is away or refuses.
    """
    alarms = [*wanted(prefix, topic)]
    found: dict[str, Any] = {}
    for place in range(0, len(alarms), NAMES_A_REQUEST):
        names = [alarm.name for alarm in alarms[place : place + NAMES_A_REQUEST]]
        with translated("CloudWatch"):
            answer = cloudwatch().describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm"], MaxRecords=NAMES_A_REQUEST)
        found |= {each["AlarmName"]: each for each in answer["MetricAlarms"]}
    return [_change(alarm, found.get(alarm.name)) for alarm in alarms]


def apply(changes: list[Change]) -> None:
    """Do what is needed. Doing it again changes nothing.

    Raises:
        QueueError: CloudWatch is away or refuses.
    """
    for change in changes:
        if change.is_needed:
            with translated("CloudWatch"):
                cloudwatch().put_metric_alarm(**cast(Any, change.alarm.settings()))


def _change(alarm: Alarm, found: dict[str, Any] | None) -> Change:
    if found is None:
        return Change(alarm, True, ())
    if not alarm.told:  # put_metric_alarm writes these too
        alarm = replace(alarm, told={name: found[name] for name in TOLD if found.get(name)})
    differences = ((name, found.get(name), value) for name, value in alarm.settings().items() if found.get(name) != value)
    return Change(alarm, False, tuple(differences))


@cache
def cloudwatch() -> CloudWatchClient:
    """The process's client of CloudWatch."""
    client: CloudWatchClient = make_client("cloudwatch")
    return client
