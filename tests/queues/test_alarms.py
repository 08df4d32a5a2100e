"""CloudWatch's alarms, at a real CloudWatch server."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import Any

import pytest

from queues.alarms import Alarm, age_seconds, apply, cloudwatch, plan, wanted
from queues.catalogue import KINDS
from queues.clients import QueueError
from tests.conftest import NOWHERE

TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"


@pytest.fixture
def prefix(sqs: str) -> str:
    return f"alarmed-{token_hex(4)}-"


def found(name: str) -> dict[str, Any]:
    (alarm,) = cloudwatch().describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(alarm)


def test_every_queue_has_its_alarms(prefix: str) -> None:
    said = {(alarm.queue, alarm.metric, alarm.threshold) for alarm in wanted("p-")}
    visible, oldest = "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"
    expected = set()
    for kind in KINDS.values():
        expected.add((f"p-{kind.dead_letter_name}", visible, 0))
        for lane in kind.lanes:
            queue = f"p-{kind.queue_name(lane)}"
            expected |= {(queue, visible, kind.alarm_depth), (queue, oldest, age_seconds(kind))}
    assert said == expected


def test_a_message_is_not_too_old_while_its_job_may_run_and_still_is_there_when_it_is() -> None:
    for kind in KINDS.values():
        assert kind.max_seconds < age_seconds(kind) < kind.retention_seconds


def test_what_is_applied_is_there_and_applying_again_changes_nothing(prefix: str) -> None:
    changes = plan(prefix, TOPIC)
    assert all(change.is_new for change in changes)
    apply(changes)
    alarm = found(f"{prefix}articles-dlq-not-empty")
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": f"{prefix}articles-dlq"}]
    assert (alarm["AlarmActions"], alarm["OKActions"]) == ([TOPIC], [TOPIC])
    assert not any(change.is_needed for change in plan(prefix, TOPIC))


def test_a_difference_is_named_and_put_right(prefix: str) -> None:
    apply(plan(prefix))
    name = f"{prefix}images-depth"
    changed: Alarm = next(alarm for alarm in wanted(prefix) if alarm.name == name)
    cloudwatch().put_metric_alarm(**{**changed.settings(), "Threshold": 7.0})
    (change,) = (change for change in plan(prefix) if change.is_needed)
    assert (change.alarm.name, change.differences) == (name, (("Threshold", 7.0, 1000.0),))
    apply([change])
    assert found(name)["Threshold"] == 1000


def test_without_a_topic_whom_an_alarm_tells_stays_as_it_is(prefix: str) -> None:
    apply(plan(prefix, TOPIC))
    name = f"{prefix}images-depth"
    now = {key: found(name)[key] for key in next(wanted(prefix, TOPIC)).settings()}
    cloudwatch().put_metric_alarm(**{**now, "Period": 60, "OKActions": []})
    assert [change.alarm.name for change in plan(prefix) if change.is_needed] == [name]
    apply(plan(prefix))
    assert (found(name)["Period"], found(name)["AlarmActions"], found(name)["OKActions"]) == (300, [TOPIC], [])


def test_another_topic_is_a_difference(prefix: str) -> None:
    apply(plan(prefix, TOPIC))
    assert {name for change in plan(prefix, TOPIC + "-2") for name, _, _ in change.differences} == {"AlarmActions", "OKActions"}


def test_with_cloudwatch_away_one_error_says_so(environment: Callable[..., None]) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    with pytest.raises(QueueError, match="CloudWatch"):
        plan("p-")
