"""`celery -A tasks alarms`."""

from __future__ import annotations

import json
from secrets import token_hex
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.alarms import alarms
from tests.conftest import NOWHERE


def run(*words: str) -> Result:
    return CliRunner().invoke(alarms, words)


@pytest.fixture
def prefix(sqs: str, environment: Any) -> str:
    name = f"told-{token_hex(4)}-"
    environment(QUEUE_PREFIX=name)
    return name


def test_a_plan_ends_with_2_until_it_is_applied(prefix: str) -> None:
    planned = run("plan", "--exit-code")
    assert planned.exit_code == 2
    assert f"create   {prefix}articles-dlq-not-empty" in planned.stdout.splitlines()
    applied = run("apply")
    assert applied.exit_code == 0
    assert applied.stdout == planned.stdout.replace("create ", "created")
    again = run("plan", "--exit-code")
    assert again.exit_code == 0
    assert again.stdout.endswith("alarms are as they should be.\n")


def test_json_is_alone_on_stdout_and_tells_each_difference(prefix: str) -> None:
    run("apply")
    topic = "arn:aws:sns:us-east-1:123456789012:alarms"
    said = json.loads(run("plan", "--json", "--sns-topic", topic).stdout)
    assert {alarm["does"] for alarm in said["alarms"]} == {"change"}
    assert said["alarms"][0]["changes"][0] == {"setting": "AlarmActions", "now": [], "wanted": [topic]}


def test_with_cloudwatch_away_one_line_says_so(environment: Any) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    answer = run("plan")
    assert answer.exit_code == 1
    assert "CloudWatch" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
