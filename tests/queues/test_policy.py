"""Each role does its work with exactly the rights of its policy, and every right is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files as resources
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from jobs.dead_letters import drop_settled
from jobs.files import files
from jobs.relay import Relay
from jobs.store import store
from jobs.submit import Order, submit
from monitoring.cloudwatch import publish
from queues import alarms
from queues.catalogue import KINDS
from queues.clients import make_client
from queues.clients import sqs as sqs_client
from queues.policy import Place, Role, place_of_settings, policy
from queues.provision import apply
from queues.queue import Outgoing, dead_letters_of, queue_for
from queues.status import depths
from queues.wire import JobMessage
from tests.jobs.jobs import document
from tests.rights import ACCOUNT, Rights
from tests.workers import Worker, wait_for

MANAGED_POLICY_CHARACTERS = 6_144
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (white space does not count)"""
TOPIC = {"mode": "topic", "topic": "Bees", "word_count": 60}


@pytest.fixture
def rights(sqs: str) -> Iterator[Rights]:
    address = urlsplit(sqs)
    proxy = Rights(str(address.hostname), int(address.port or 0))
    yield proxy
    proxy.stop()


@pytest.fixture
def bucket(sqs: str) -> str:
    name = f"media-{token_hex(4)}"
    make_client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def become(
    database: Any, queues: Any, environment: Callable[..., None], rights: Rights, bucket: str
) -> Callable[..., dict[str, Any]]:
    """Call it with a role to go on with that role's rights only; its policy."""

    def go_on(role: Role, without: str | None = None) -> dict[str, Any]:
        environment(
            AWS_ENDPOINT_URL=rights.endpoint,
            AWS_ACCESS_KEY_ID=role.value,
            MEDIA_BUCKET=bucket,
            LEASE_SECONDS="2",
            SQS_WAIT_TIME_SECONDS="1",
            CLOUDWATCH_METRICS="on",
        )
        allowed = policy(role, place_of_settings())
        for statement in allowed["Statement"]:
            statement["Action"] = [action for action in statement["Action"] if action != without]
        rights.policies[role.value] = allowed
        return allowed

    return go_on


def dead_letters_to_look_at(database: Any) -> None:
    """One of a job that is over, and one that nobody can read."""
    job = document("cancelled")
    database.jobs.insert_one(job)
    dead_letters_of("articles").send(Outgoing(JobMessage(job["_id"], "ada", "articles").body()))
    dead_letters_of("articles").send(Outgoing("not to be read"))


def failed_job(database: Any) -> dict[str, Any]:
    """One whose dead letter is still to be sent."""
    effect = {"key": "dead_letter", "does": "dead_letter", "reason": "told to"}
    job = document("failed", effects=[effect], error={"code": "internal", "message": "", "retryable": False})
    database.jobs.insert_one(job)
    return job


def file_to_clear_away(database: Any) -> None:
    """What an attempt made long ago that did not win."""
    long_ago = datetime.now(UTC) - timedelta(days=2)
    record = {"_id": "lost/image.png", "job_id": "gone", "key": "gone/lost/image.png", "is_judged": False}
    database.media.insert_one({**record, "created_at": long_ago})


def produce(database: Any, rights: Rights, tmp_path: Path) -> None:
    job = submit(Order(kind="articles", payload=TOPIC, user_id="ada"))
    assert job.message_id
    assert depths(KINDS.values())["articles"].total.visible == 1
    assert files().open("no-such-file") is None
    link = files().url("a-file", name="a.png")
    assert link is not None
    assert requests.get(link, timeout=60).content == b"bytes"


def work(database: Any, rights: Rights, tmp_path: Path) -> None:
    image = {"prompt": "A bee", "size": "64x64"}
    done = [
        submit(Order(kind=kind, payload=payload, user_id="ada")) for kind, payload in (("articles", TOPIC), ("images", image))
    ]
    queue_for("articles").send(Outgoing("not to be read"))
    dead_letters_to_look_at(database)
    failed_job(database)
    file_to_clear_away(database)

    def is_used(*actions: str) -> bool:
        return {*actions} <= {action for action, _ in rights.used["worker"]}

    def is_done() -> bool:
        jobs = [store().get(job.id) for job in done]
        return (
            all(job and job.status == "completed" for job in jobs) and len({action for action, _ in rights.used["worker"]}) >= 8
        )

    def waited(is_over: Callable[[], bool], what: str) -> None:
        wait_for(lambda: is_over() or rights.denied["worker"], what, worker)

    with Worker(tmp_path / "log", *KINDS) as worker:
        waited(is_done, "the jobs")
        waited(lambda: is_used("s3:GetObject", "sqs:ChangeMessageVisibility"), "the image's thumbnails")
        if not rights.denied["worker"]:
            picture = database.media.find_one({"job_id": done[1].id})
            files().delete(picture["key"])  # what is gone is looked for all the same
            submit(Order(kind="thumbnails", payload={"jobId": done[1].id}, user_id="ada"))
            waited(lambda: is_used("s3:ListBucket"), "thumbnails of what is gone")


def relay(database: Any, rights: Rights, tmp_path: Path) -> None:
    dead_letters_to_look_at(database)
    job = failed_job(database)
    file_to_clear_away(database)
    database.jobs.insert_one(document("queued", dispatch={"n": 0, "by": None, "until": None, "at": None}))
    a_relay = Relay(KINDS, also=[publish])

    def is_done() -> bool:
        faults = a_relay.round().faults
        assert not faults
        return not database.jobs.find_one({"_id": job["_id"]})["effects"]

    wait_for(is_done, "the dead letter to be sent")


def operate(database: Any, rights: Rights, tmp_path: Path) -> None:
    dead_letters_to_look_at(database)
    drop_settled("articles")
    for queue in (queue_for("images"), dead_letters_of("images")):
        sqs_client().set_queue_attributes(QueueUrl=queue.url, Attributes={"MessageRetentionPeriod": "777"})
        sqs_client().tag_queue(QueueUrl=queue.url, Tags={"kind": "another"})
    apply()
    submit(Order(kind="articles", payload=TOPIC, user_id="ada"))
    dead_letters_of("articles").send(Outgoing("sent"))
    for queue in (queue_for("articles"), dead_letters_of("articles")):
        queue.purge()
        sqs_client().delete_queue(QueueUrl=queue.url)
    apply()
    place = place_of_settings()
    alarms.apply(alarms.plan(place.prefix))


WORK = {Role.PRODUCER: produce, Role.WORKER: work, Role.RELAY: relay, Role.OPERATOR: operate}


@pytest.mark.long  # the work once more without each of its rights
@pytest.mark.parametrize("role", Role)
def test_a_role_does_its_work_with_its_policy_and_needs_all_of_it(
    role: Role, become: Any, rights: Rights, database: Any, bucket: str, tmp_path: Path
) -> None:
    make_client("s3").put_object(Bucket=bucket, Key="a-file", Body=BytesIO(b"bytes"))
    allowed = become(role)
    WORK[role](database, rights, tmp_path)
    assert rights.denied[role] == set()
    for statement in allowed["Statement"]:
        used = {action for action, resource in rights.used[role] if _covers(statement["Resource"], resource)}
        assert used >= {*statement["Action"]}, "The policy allows what the role never does"


def test_a_worker_without_a_right_is_refused_just_that(become: Any, rights: Rights, database: Any, tmp_path: Path) -> None:
    action = "sqs:DeleteMessage"
    become(Role.WORKER, without=action)
    work(database, rights, tmp_path)
    others = {(denied, resource) for denied, resource in rights.denied["worker"] if denied != action}
    assert rights.denied["worker"]
    assert others == set()


def test_a_worker_of_one_kind_receives_no_other(environment: Any) -> None:
    place = Place(account=ACCOUNT, region="us-east-1", prefix="p-")
    received = {
        arn
        for statement in policy(Role.WORKER, place, ["images"])["Statement"]
        if "sqs:ReceiveMessage" in statement["Action"]
        for arn in statement["Resource"]
    }
    assert received == {f"arn:aws:sqs:us-east-1:{ACCOUNT}:p-{name}" for name in ("images", "images-high", "images-dlq")}


def test_a_queue_given_by_its_url_is_the_one_that_is_allowed() -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/999999999999/somebody-elses"
    place = Place(account=ACCOUNT, region="us-east-1", given={"images": url})
    arns = {arn for statement in policy(Role.PRODUCER, place, ["images"])["Statement"] for arn in statement["Resource"]}
    assert "arn:aws:sqs:eu-west-1:999999999999:somebody-elses" in arns
    assert f"arn:aws:sqs:us-east-1:{ACCOUNT}:images" not in arns


@pytest.mark.parametrize("role", Role)
def test_every_action_exists_at_aws(role: Role) -> None:
    known = json.loads((resources("cfnlint") / "data" / "AdditionalSpecs" / "Policies.json").read_text())
    for statement in policy(role, Place(account=ACCOUNT, region="us-east-1", bucket="media", sends_metrics=True))["Statement"]:
        for action in statement["Action"]:
            service, _, name = action.partition(":")
            assert name.lower() in known[service]["Actions"], f"AWS knows no {action}"


@pytest.mark.parametrize("role", Role)
def test_a_policy_is_small_enough_to_be_attached(role: Role) -> None:
    place = Place(account=ACCOUNT, region="ap-southeast-1", prefix="p" * 40, bucket="b" * 63)
    text = json.dumps(policy(role, place), separators=(",", ":"))
    assert len(text) <= MANAGED_POLICY_CHARACTERS, "Give the role's queues by a pattern, or by several policies"


def _covers(patterns: list[str], resource: str) -> bool:
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), resource) for pattern in patterns)
