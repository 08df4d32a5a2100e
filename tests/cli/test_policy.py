"""`celery -A tasks policy`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.policy import policy
from tests.conftest import NOWHERE
from tests.rights import ACCOUNT


def run(*words: str) -> Result:
    return CliRunner().invoke(policy, words)


def arns(answer: Result) -> set[str]:
    return {arn for statement in json.loads(answer.stdout)["Statement"] for arn in statement["Resource"]}


def test_the_policy_is_alone_on_stdout_with_the_account_of_the_credentials(sqs: str, environment: Any) -> None:
    environment(QUEUE_PREFIX="p-", MEDIA_BUCKET="media")
    answer = run("producer", "--kind", "images")
    assert answer.exit_code == 0
    assert arns(answer) >= {f"arn:aws:sqs:us-east-1:{ACCOUNT}:p-images", "arn:aws:s3:::media/*"}


def test_account_and_region_can_be_given_and_then_nobody_is_asked(environment: Any) -> None:
    answer = run("relay", "--account", "42", "--region", "cn-north-1")
    assert {arn.rpartition(":")[0] for arn in arns(answer)} == {"arn:aws-cn:sqs:cn-north-1:42"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("worker", "--kind", "poems", "--account", "42"), "no kind 'poems'; there are articles"),
        (("worker",), "give it with --account"),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], says: str, environment: Any) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    answer = run(*words)
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert says in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
