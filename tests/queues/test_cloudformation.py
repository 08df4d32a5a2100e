"""The CloudFormation template says what the catalogue says, and CloudFormation can read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint

from queues.alarms import wanted as wanted_alarms
from queues.catalogue import KINDS
from queues.cloudformation import template
from queues.policy import Role
from queues.wanted import wanted
from settings import CHECKOUT

FILE = CHECKOUT / "deploy" / "cloudformation.json"


def resources(kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in template()["Resources"].values() if each["Type"] == kind]


def test_the_file_is_the_catalogues() -> None:
    made = json.loads(json.dumps(template()))
    assert json.loads(FILE.read_text()) == made, (
        "deploy/cloudformation.json is stale. Make it anew: python -m queues.cloudformation > deploy/cloudformation.json"
    )


def test_the_environment_of_whoever_makes_it_plays_no_part(environment: Any) -> None:
    before = template()
    environment(
        QUEUE_PREFIX="mine-",
        SQS_WAIT_TIME_SECONDS="3",
        SQS_IMAGES_QUEUE_URL="https://sqs.eu-west-1.amazonaws.com/999999999999/mine",
        MEDIA_BUCKET="mine",
        AWS_REGION=None,
    )
    assert template() == before


def test_it_has_every_queue_alarm_and_policy() -> None:
    assert len(resources("AWS::SQS::Queue")) == sum(len(wanted(kind)) for kind in KINDS.values())
    assert len(resources("AWS::CloudWatch::Alarm")) == len([*wanted_alarms("")])
    assert len(resources("AWS::IAM::ManagedPolicy")) == len(Role)


@pytest.mark.parametrize("name", sorted(path.name for path in (CHECKOUT / "deploy").glob("*.json")))
def test_cfn_lint_finds_no_fault(name: str) -> None:
    text = (CHECKOUT / "deploy" / name).read_text()
    faults = lint(text, config=ManualArgs(regions=["us-east-1", "eu-central-1"]))
    assert [f"{Path(name)}:{fault.linenumber}: {fault.message}" for fault in faults] == []
