"""Making the queues, at a real SQS server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from queues.clients import QueueUnavailable
from queues.clients import sqs as client
from queues.provision import apply
from queues.queue import dead_letters_of, queue_for
from tests.conftest import NOWHERE


def test_the_queues_are_made_as_the_catalogue_says(queues: dict[str, str]) -> None:
    found = queue_for("videos").attributes()
    redrive = json.loads(found["RedrivePolicy"])
    assert (found["VisibilityTimeout"], found["MessageRetentionPeriod"]) == ("900", str(4 * 86_400))
    assert int(redrive["maxReceiveCount"]) == 3
    dead_letters = dead_letters_of("videos").attributes()
    assert redrive["deadLetterTargetArn"] == dead_letters["QueueArn"]
    assert dead_letters["MessageRetentionPeriod"] == str(14 * 86_400)


def test_doing_it_again_changes_nothing_and_says_so(queues: dict[str, str]) -> None:
    lines: list[str] = []
    assert apply(lines.append) == queues
    assert len(lines) == len(queues)
    assert all(line.endswith("as it should be") for line in lines)


def test_a_changed_attribute_is_named_and_put_right(queues: dict[str, str]) -> None:
    client().set_queue_attributes(QueueUrl=queue_for("images").url, Attributes={"VisibilityTimeout": "7"})
    lines: list[str] = []
    apply(lines.append)
    assert [line for line in lines if "changed VisibilityTimeout" in line]
    assert queue_for("images").attributes()["VisibilityTimeout"] == "180"


def test_with_sqs_away_one_line_says_so(environment: Any) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    with pytest.raises(QueueUnavailable, match="articles-dlq"):
        apply()
