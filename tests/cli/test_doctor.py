"""`celery -A tasks doctor` names each fault, made for real, and finds none where there is none."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from cli.doctor import doctor
from cli.doctoring.examination import CHECKS, examine
from cli.doctoring.findings import Finding, State
from cli.doctoring.services import seconds_fast
from cli.doctoring.subject import Subject
from devstack import mongod
from devstack.server import free_port
from jobs.workers import OwnDocument
from queues.catalogue import KINDS, prefixed
from queues.clients import sqs as sqs_client
from queues.policy import Place, Role, needs, policy
from queues.queue import dead_letters_of, queue_for
from settings import CHECKOUT
from tests.conftest import NOWHERE
from tests.http_proxy import Answer, HttpProxy, Request, Upstream
from tests.jobs.jobs import document
from tests.jobs.waiting import FREE, PAST
from tests.rights import ACCOUNT, Rights
from tests.sqs import SqsProxy
from tests.workers import Worker, wait_for

PROCFILE = CHECKOUT / "Procfile"
CELERY = str(Path(sys.executable).with_name("celery"))
NOTHING_ELSE_IS_ASKED = {"LEASE_SECONDS": "soon"}
"""For tests of what this checkout holds: with such settings no service is looked at."""
Made = dict[str, Finding]


def run(*words: str) -> Result:
    return CliRunner().invoke(doctor, words)


def found(subject: Subject | None = None) -> Made:
    """What the doctor finds, by the check's name."""
    return {finding.check.name: finding for finding in examine(subject or Subject())}


def finding_of(name: str, subject: Subject | None = None) -> Finding:
    """What is found by one check, made with those that it needs."""
    needed = {name}
    for check in reversed(CHECKS):
        if check.name in needed:
            needed |= {*check.needs}
    checks = [check for check in CHECKS if check.name in needed]
    return [*examine(subject or Subject(), checks)][-1]


def says(name: str, subject: Subject | None = None) -> str:
    """What is said of a check that must have gone wrong."""
    finding = finding_of(name, subject)
    assert finding.state is State.WRONG, finding
    return "\n".join(finding.lines())


@pytest.fixture
def relayed(database: Any, queues: Any) -> None:
    """A system whose queues stand, and where a relay has just looked after every kind."""
    database.relays.insert_one({"_id": "relay", "kinds": [*KINDS], "at": datetime.now(UTC) + timedelta(hours=1)})


# -- a system without a fault


def test_a_healthy_system_is_well_in_every_check(database: Any, queues: Any, environment: Any, tmp_path: Path) -> None:
    environment(LEASE_SECONDS="20")  # so patient is the doctor with a worker whose beats and rounds come every second
    with Worker(tmp_path / "log", *KINDS, LEASE_SECONDS="3") as worker:
        wait_for(lambda: run().exit_code == 0, "the system to be well", worker)
        ended = subprocess.run([CELERY, "-A", "tasks", "doctor"], cwd=CHECKOUT, capture_output=True, text=True)
        as_json = run("--json")
    assert [line[0] for line in ended.stdout.splitlines()] == ["✓"] * len(CHECKS)
    assert ended.stderr == ""
    assert json.loads(as_json.stdout)["well"] is True


def test_it_changes_nothing(relayed: None) -> None:
    found()
    for kind in KINDS:
        for queue in (queue_for(kind), dead_letters_of(kind)):
            assert queue.count() == 0


def test_with_a_fault_it_ends_with_1_and_json_is_alone_on_stdout(relayed: None) -> None:
    sqs_client().delete_queue(QueueUrl=dead_letters_of("videos").url)
    ended = run("--json")
    assert ended.exit_code == 1
    (fault,) = (check["faults"][0] for check in json.loads(ended.stdout)["checks"] if check["state"] == "wrong")
    assert "videos-dlq" in fault["text"]
    assert "queues apply" in fault["remedy"]


# -- the checkout


def test_settings_that_cannot_be_used_are_named_and_nothing_else_is_asked(environment: Any) -> None:
    environment(LEASE_SECONDS="soon", SQS_WAIT_TIME_SECONDS="21")
    made = found()
    lines = made["settings"].lines()
    assert [line.partition("=")[0] for line in lines] == ["✗ settings: SQS_WAIT_TIME_SECONDS", "✗ settings: LEASE_SECONDS"]
    assert {made[name].state for name in ("MongoDB", "SQS", "queues", "relay", "provider")} == {State.NOT_CHECKED}


def test_a_stale_installation_is_named(tmp_path: Path) -> None:
    stale = tmp_path / "pressroom-0.0.1.dist-info"
    stale.mkdir()
    (stale / "METADATA").write_text("Metadata-Version: 2.1\nName: pressroom\nVersion: 0.0.1\n")
    (stale / "entry_points.txt").write_text("[celery.commands]\nrelay = cli.relay:relay\n")
    ended = subprocess.run(
        [sys.executable, "-m", "cli.doctor"],
        cwd=CHECKOUT,
        env=os.environ | NOTHING_ELSE_IS_ASKED | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    (line,) = (line for line in ended.stdout.splitlines() if "entry points" in line)
    assert line.startswith("✗")
    assert "doctor" in line
    assert "relay" not in line
    assert "pip install" in line


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda text: text.replace("videos: celery -A tasks worker -Q videos\n", ""), "no process consumes videos"),
        (lambda text: text + "poems: celery -A tasks worker --queues=poems\n", "consumes poems"),
    ],
)
def test_a_procfile_off_the_catalogue_is_named(change: Callable[[str], str], names: str, tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text(change(PROCFILE.read_text()))
    assert names in says("Procfile", Subject(procfile=tmp_path / "Procfile"))


def test_too_many_queues_for_a_process_are_named(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("all: celery -A tasks worker\n")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    ended = subprocess.run(
        [sys.executable, "-m", "cli.doctor", "--procfile", str(tmp_path / "Procfile")],
        cwd=CHECKOUT,
        env=os.environ | NOTHING_ELSE_IS_ASKED,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (96, before[1])),
        capture_output=True,
        text=True,
    )
    (line,) = (line for line in ended.stdout.splitlines() if "handles" in line)
    assert line.startswith("✗ handles: the process all")
    assert "it may have 96" in line


# -- the services


def test_mongodb_away_is_named_and_what_needs_it_is_not_checked(queues: Any, environment: Any) -> None:
    environment(MONGODB_URI=f"mongodb://{NOWHERE}/")
    made = found()
    assert made["MongoDB"].lines() == ["✗ MongoDB: MongoDB does not answer. See that it runs, and that MONGODB_URI names it."]
    assert {made[name].state for name in ("replica set", "relay", "workers")} == {State.NOT_CHECKED}
    assert made["queues"].state is State.WELL


@pytest.fixture
def lonely_mongod(tmp_path: Path) -> Iterator[int]:
    """The port of a mongod that is no replica set."""
    port = free_port()
    (tmp_path / "data").mkdir()
    words = [str(mongod.find()), "--dbpath", str(tmp_path / "data"), "--port", str(port), "--bind_ip", "127.0.0.1", "--quiet"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    yield port
    process.kill()
    process.wait()


@pytest.mark.parametrize("options", ["", "?replicaSet=rs0"])
def test_a_mongod_without_a_replica_set_is_named(options: str, lonely_mongod: int, queues: Any, environment: Any) -> None:
    environment(MONGODB_URI=f"mongodb://127.0.0.1:{lonely_mongod}/{options}")
    wait_for(lambda: finding_of("MongoDB").state is State.WELL, "mongod to answer")
    assert "mongod is no replica set. For one, start mongod with --replSet rs0" in says("replica set")


def test_the_wrong_name_of_a_replica_set_is_named(mongodb: str, queues: Any, environment: Any) -> None:
    environment(MONGODB_URI=mongodb.replace("replicaSet=rs0", "replicaSet=another"))
    assert "the replica set is rs0, not another" in says("replica set")


def test_sqs_away_is_named_once_and_the_queues_are_not_checked(database: Any, queues: Any, environment: Any) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    made = found()
    (line,) = made["SQS"].lines()
    assert NOWHERE in line
    assert "AWS_ENDPOINT_URL" in line
    names = "region", "queues", "attributes", "visibility", "rights"
    assert {made[name].state for name in names} == {State.NOT_CHECKED}


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("ExpiredToken", "the credentials have expired"),
        ("InvalidClientTokenId", "does not know the access key"),
        ("SignatureDoesNotMatch", "secret key does not fit"),
    ],
)
def test_credentials_that_are_refused_are_named(code: str, names: str, relayed: None, sqs_proxy: SqsProxy) -> None:
    sqs_proxy.fail(403, code=code)
    assert names in says("SQS")


def test_no_region_is_named(relayed: None, environment: Any) -> None:
    environment(AWS_REGION=None, AWS_DEFAULT_REGION=None)
    assert "Set AWS_REGION" in says("SQS")


def test_the_wrong_region_is_named(relayed: None, environment: Any) -> None:
    environment(AWS_REGION="eu-west-3", AWS_DEFAULT_REGION="eu-west-3")
    text = says("region")
    assert "in the region eu-west-3" in text
    assert "AWS_REGION" in text


def test_a_queue_given_in_another_region_is_named(relayed: None, environment: Any) -> None:
    environment(SQS_IMAGES_QUEUE_URL="https://sqs.eu-west-3.amazonaws.com/123456789012/images")
    assert "Set AWS_REGION=eu-west-3" in says("region")


class LateClock(HttpProxy):
    """A server whose clock is slow."""

    def answer(self, request: Request, upstream: Upstream) -> Answer:
        answer = upstream.ask(request)
        then = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
        others = tuple((name, value) for name, value in answer.headers if name.lower() != "date")
        return replace(answer, headers=(*others, ("Date", then)))


def test_a_clock_that_is_off_is_named(relayed: None, sqs: str, environment: Any) -> None:
    address = urlsplit(sqs)
    proxy = LateClock(str(address.hostname), int(address.port or 0))
    environment(AWS_ENDPOINT_URL=proxy.endpoint)
    try:
        text = says("clocks")
    finally:
        proxy.stop()
    assert re.search(r"SQS's clock is 3[56]\d\d s slow", text)
    assert "slow" in text
    assert "MongoDB" not in text


@pytest.mark.parametrize(("said", "fast"), [(-4, -4), (0, 0), (3, 0), (7, 0), (9, 2)])
def test_a_clock_is_not_off_because_its_answer_took_seven_seconds(said: int, fast: int) -> None:
    asked = datetime.now(UTC)
    assert seconds_fast(asked + timedelta(seconds=said), asked, asked + timedelta(seconds=7)) == fast


# -- the queues


@pytest.mark.parametrize(("queue", "names"), [("articles-high", "the queue"), ("images-dlq", "the dead-letter queue")])
def test_a_missing_queue_is_named(queue: str, names: str, relayed: None, queues: dict[str, str]) -> None:
    name = next(name for name in queues if name.endswith(queue))
    sqs_client().delete_queue(QueueUrl=queues[name])
    assert f"{names} {name} does not exist" in says("queues")


@pytest.mark.parametrize(
    ("queue", "attribute", "value"),
    [
        ("articles", "VisibilityTimeout", "7"),
        ("images-high", "MessageRetentionPeriod", "60"),
        ("videos", "RedrivePolicy", "after 9 receives"),
        ("videos", "RedrivePolicy", "missing"),
    ],
)
def test_a_changed_attribute_is_named(queue: str, attribute: str, value: str, relayed: None, queues: dict[str, str]) -> None:
    url = next(url for name, url in queues.items() if name.endswith(queue))
    spelled = value
    if attribute == "RedrivePolicy":
        arn = dead_letters_of("videos").attributes()["QueueArn"]
        spelled = "" if value == "missing" else json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 9})
    sqs_client().set_queue_attributes(QueueUrl=url, Attributes={attribute: spelled})  # type: ignore[dict-item] # one of them
    text = says("attributes")
    assert f"{attribute} of {url.rpartition('/')[2]} is" in text
    assert value in text


def test_a_lease_longer_than_a_queues_visibility_is_a_warning(relayed: None, environment: Any) -> None:
    environment(LEASE_SECONDS="200")
    finding = finding_of("visibility")
    assert finding.state is State.WARNING
    short = [kind for kind in KINDS.values() if kind.visibility_seconds < 205]
    assert "images" in {kind.name for kind in short}
    queues = {prefixed(kind.queue_name(lane)) for kind in short for lane in kind.lanes}
    assert {line.split()[2] for line in finding.lines()} == queues


ROLES = [Role.WORKER, Role.PRODUCER, Role.RELAY]


@pytest.fixture
def rights(sqs: str, environment: Any, relayed: None) -> Iterator[Rights]:
    address = urlsplit(sqs)
    proxy = Rights(str(address.hostname), int(address.port or 0))
    environment(AWS_ENDPOINT_URL=proxy.endpoint, AWS_ACCESS_KEY_ID="role")
    yield proxy
    proxy.stop()


def place() -> Place:
    return Place(account=ACCOUNT, region="us-east-1", prefix=os.environ["QUEUE_PREFIX"])


def test_missing_rights_are_named(rights: Rights) -> None:
    tried: dict[str, Role] = {}
    for role in ROLES:
        rights.policies["role"] = policy(role, place())
        assert finding_of("rights", Subject(role)).state is State.WELL
        tried |= {action: role for need in needs(role) for action in need.actions}
    for action, role in tried.items():
        rights.policies["role"] = without(action, policy(role, place()))
        if action == "GetQueueUrl":  # SQS says that there is none
            assert "none of the queues" in says("region", Subject(role))
        else:
            assert f": sqs:{action} on" in says("rights", Subject(role))


def without(action: str, allowed: dict[str, Any]) -> dict[str, Any]:
    for statement in allowed["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if each != f"sqs:{action}"]
    return allowed


# -- those who work


def test_a_relay_that_stands_still_is_named(database: Any, queues: Any, environment: Any, tmp_path: Path) -> None:
    environment(LEASE_SECONDS="2")
    with (tmp_path / "log").open("wb") as log:
        relay = subprocess.Popen([CELERY, "-A", "tasks", "relay"], cwd=CHECKOUT, stdout=log, stderr=log)
    try:
        wait_for(lambda: finding_of("relay").state is State.WELL, "the relay's rounds")
        relay.send_signal(signal.SIGSTOP)
        wait_for(lambda: finding_of("relay").state is State.WRONG, "the doctor to see it")
        assert "no relay has looked after articles for" in says("relay")
    finally:
        relay.kill()
        relay.wait()


def test_jobs_that_nobody_sends_are_named(relayed: None, database: Any) -> None:
    database.jobs.insert_one(document("queued", dispatch=FREE, created_at=PAST))
    assert "1 job of articles should have been sent more than" in says("relay")


def test_waiting_jobs_without_a_worker_are_named(relayed: None, database: Any) -> None:
    assert finding_of("workers").state is State.WELL
    database.jobs.insert_one(document("queued", message_id="sent"))
    assert "no worker receives articles" in says("workers")


def test_a_worker_that_receives_nothing_is_named(relayed: None) -> None:
    name = f"articles-{token_hex(2)}@here"
    own = OwnDocument(name)
    own.write(slots=4, running=0, last_receive={"articles": monotonic()}, last_attempt={"articles": monotonic()})
    assert finding_of("workers").state is State.WELL
    own.write(slots=4, running=0, last_receive={"articles": 0.0}, last_attempt={"articles": monotonic() - 3_600})
    assert f"{name} has not asked the queue of articles for 36" in says("workers")


def test_a_provider_that_is_away_is_a_warning(relayed: None, environment: Any) -> None:
    environment(AI_SERVICE_URL=f"http://{NOWHERE}")
    finding = finding_of("provider")
    assert finding.state is State.WARNING
    assert finding.lines()[0].startswith("! provider: the provider service does not answer")
