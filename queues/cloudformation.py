"""The queues, their alarms and the roles' policies as a CloudFormation template, from the catalogue.

    python -m queues.cloudformation > deploy/cloudformation.json

The environment of whoever makes it plays no part in it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from queues import alarms
from queues.catalogue import KINDS, Kind
from queues.policy import Place, Role, media_statements, policy
from queues.wanted import DEAD_LETTERS, Wanted, wanted
from settings import Settings

PREFIX, TOPIC, BUCKET = "QueuePrefix", "AlarmTopicArn", "MediaBucket"
PLACE = Place(
    account="${AWS::AccountId}", region="${AWS::Region}", partition="${AWS::Partition}", prefix=f"${{{PREFIX}}}", bucket=None
)
Json = dict[str, Any]


def template() -> Json:
    """The template."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Pressroom's queues, alarms and policies. Made by `python -m queues.cloudformation`; not to be edited.",
        "Parameters": {
            PREFIX: {
                "Type": "String",
                "Default": "",
                "AllowedPattern": "[A-Za-z0-9_-]{0,40}",
                "Description": "QUEUE_PREFIX of the processes: stands before every queue's name.",
            },
            TOPIC: {"Type": "String", "Default": "", "Description": "The SNS topic that alarms tell; empty for none."},
            BUCKET: {"Type": "String", "Default": "", "Description": "MEDIA_BUCKET of the processes; empty for none."},
        },
        "Conditions": {
            "HasTopic": {"Fn::Not": [{"Fn::Equals": [{"Ref": TOPIC}, ""]}]},
            "HasBucket": {"Fn::Not": [{"Fn::Equals": [{"Ref": BUCKET}, ""]}]},
        },
        "Resources": dict([*_queues(), *_alarms(), *_policies()]),
        "Outputs": {
            f"{role.capitalize()}PolicyArn": {
                "Description": f"Attach it to the {role}'s role.",
                "Value": {"Ref": f"{role.capitalize()}Policy"},
            }
            for role in Role
        },
    }


def _queues() -> Iterator[tuple[str, Json]]:
    for kind in KINDS.values():
        for queue in wanted(kind):
            yield (
                _logical(_name(kind, queue)),
                {
                    "Type": "AWS::SQS::Queue",
                    "DeletionPolicy": "Retain",
                    "UpdateReplacePolicy": "Retain",
                    "Properties": {
                        "QueueName": _sub(f"${{{PREFIX}}}{_name(kind, queue)}"),
                        **_attributes(kind, queue),
                        "Tags": [{"Key": key, "Value": value} for key, value in queue.tags.items()],
                    },
                },
            )


def _name(kind: Kind, queue: Wanted) -> str:
    return kind.dead_letter_name if queue.lane == DEAD_LETTERS else kind.queue_name(queue.lane)


def _attributes(kind: Kind, queue: Wanted) -> Json:
    """CloudFormation's properties have the names of SQS's attributes."""
    said: Json = {name: _typed(value) for name, value in queue.attributes.items()}
    if said.get("FifoQueue") is False:
        del said["FifoQueue"]
    if queue.lane == DEAD_LETTERS:
        # By name, not by reference: the queues refer to this one.
        sources = [_sub(PLACE.queue_arn(kind.queue_name(lane))) for lane in kind.lanes]
        return said | {"RedriveAllowPolicy": {"redrivePermission": "byQueue", "sourceQueueArns": sources}}
    target = {"Fn::GetAtt": [_logical(kind.dead_letter_name), "Arn"]}
    return said | {
        "ReceiveMessageWaitTimeSeconds": Settings.model_fields["sqs_wait_time_seconds"].default,
        "RedrivePolicy": {"deadLetterTargetArn": target, "maxReceiveCount": kind.max_receives},
    }


def _alarms() -> Iterator[tuple[str, Json]]:
    told = {"Fn::If": ["HasTopic", [{"Ref": TOPIC}], {"Ref": "AWS::NoValue"}]}
    for alarm in alarms.wanted(f"${{{PREFIX}}}"):
        said = alarm.settings() | {"AlarmActions": told, "OKActions": told}
        said["AlarmName"] = _sub(alarm.name)
        said["Dimensions"] = [{**each, "Value": _sub(each["Value"])} for each in said["Dimensions"]]
        name = alarm.name.removeprefix(f"${{{PREFIX}}}")
        yield f"{_logical(name)}Alarm", {"Type": "AWS::CloudWatch::Alarm", "Properties": said}


def _policies() -> Iterator[tuple[str, Json]]:
    for role in Role:
        document = policy(role, PLACE)
        statements = [_located(statement) for statement in document["Statement"]]
        with_bucket = Place(account="", region="", partition=PLACE.partition, bucket=f"${{{BUCKET}}}")
        statements += [
            {"Fn::If": ["HasBucket", _located(statement), {"Ref": "AWS::NoValue"}]}
            for statement in media_statements(role, with_bucket)
        ]
        yield (
            f"{role.capitalize()}Policy",
            {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "Description": f"What Pressroom's {role} needs.",
                    "PolicyDocument": document | {"Statement": statements},
                },
            },
        )


def _located(statement: Json) -> Json:
    return statement | {"Resource": [_sub(arn) for arn in statement["Resource"]]}


def _sub(text: str) -> Json:
    return {"Fn::Sub": text}


def _logical(name: str) -> str:
    """`articles-high` is `ArticlesHigh`: CloudFormation's names are letters and digits."""
    return "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", name))


def _typed(value: str) -> str | int | bool:
    if value in {"true", "false"}:
        return value == "true"
    return int(value) if value.isdecimal() else value


if __name__ == "__main__":
    sys.stdout.write(json.dumps(template(), indent=2) + "\n")
