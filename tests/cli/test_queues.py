"""`celery -A tasks queues …` against a real SQS, MongoDB and workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.queues import queues as command
from jobs.database import database as jobs_database
from jobs.draining import drains
from jobs.pauses import pauses
from jobs.store import store
from jobs.submit import Order, submit
from queues.catalogue import KINDS, prefixed
from queues.clients import sqs as client
from queues.queue import Outgoing, dead_letters_of, queue_for
from settings import CHECKOUT
from tasks.kinds import payload_model
from tests.conftest import NOWHERE
from tests.jobs.jobs import document
from tests.sqs import SqsProxy
from tests.workers import PATIENCE_SECONDS, Worker, finished, wait_for

NO_MONGODB = f"mongodb://{NOWHERE}/?replicaSet=rs0"
COMMANDS = (
    "plan",
    "apply",
    "status",
    "send-test articles",
    "pause articles --reason x",
    "resume articles",
    "drain articles --timeout 0",
    "purge articles --yes",
    "delete articles --yes",
)


def run(*words: str) -> Result:
    """Give a command in this process. Nobody is at the terminal."""
    return CliRunner().invoke(command, [word for each in words for word in each.split()], prog_name="queues")


def process(*words: str, **variables: str) -> subprocess.Popen[str]:
    celery = str(Path(sys.executable).with_name("celery"))
    given = [celery, "-A", "tasks", "queues", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        given, cwd=CHECKOUT, env=os.environ | variables, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


def order(kind: str = "articles") -> str:
    return submit(Order(kind=kind, payload=dict(payload_model(kind).trial), user_id="ada")).id


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


# -- plan and apply


def test_a_plan_shows_what_differs_and_its_exit_code_tells(database: Any, queues: Any) -> None:
    assert run("plan --exit-code").exit_code == 0
    client().set_queue_attributes(QueueUrl=queue_for("images").url, Attributes={"VisibilityTimeout": "7"})
    dead_letters_of("videos").remove()
    told = run("plan")
    assert told.exit_code == 0
    assert f"~ {prefixed('images')}  change\n    VisibilityTimeout  7 -> 180\n" in told.stdout
    assert f"+ {prefixed('videos-dlq')}  create\n" in told.stdout
    assert f"1 to create, 1 to change, {len(queues) - 2} as they should be." in told.stdout
    assert run("plan --exit-code").exit_code == 2
    assert run("plan articles --exit-code").exit_code == 0


def test_apply_does_what_the_plan_said_and_prints_the_urls(database: Any, queues: dict[str, str]) -> None:
    dead_letters_of("videos").remove()
    told = run("apply --json")
    assert {each["name"]: each["url"] for each in json.loads(told.stdout)["queues"]} == queues
    assert [each["name"] for each in json.loads(told.stdout)["queues"] if each["does"] == "create"] == [prefixed("videos-dlq")]
    assert run("plan --exit-code").exit_code == 0
    assert {line.split()[0] for line in run("apply").stdout.splitlines()} == {*queues.values()}


# -- status


def test_the_status_tells_messages_jobs_and_pauses_of_each_kind(database: Any, queues: Any) -> None:
    order()
    queue_for("articles", "high").send(Outgoing("x"))
    dead_letters_of("articles").send(Outgoing("x"))
    queue_for("images").send(Outgoing("x", delay_seconds=60))
    pauses().pause("videos", "the budget is spent", "ann")
    drains().begin("videos", "bob")
    found = {each["kind"]: each for each in json.loads(run("status --json").stdout)["queues"]}
    articles = found["articles"]
    assert [*found] == [*KINDS]
    assert (articles["visible"], articles["lanes"]["high"]["visible"], articles["lanes"]["normal"]["visible"]) == (2, 1, 1)
    assert (articles["deadLetters"], articles["openJobs"], articles["startableJobs"]) == (1, 1, 1)
    assert articles["oldestStartableSeconds"] >= 0
    assert articles["clearsInSeconds"] is None
    assert found["images"]["delayed"] == 1
    assert (found["videos"]["paused"]["reason"], found["videos"]["draining"]["by"]) == ("the budget is spent", "bob")
    text = run("status").stdout
    assert "videos is paused by ann since" in text
    assert "articles has jobs to start and no worker: `celery -A tasks worker -Q articles` starts one" in text


def test_queues_that_are_missing_are_named_and_the_others_told(database: Any, queues: Any) -> None:
    queue_for("videos").remove()
    told = run("status --json")
    assert told.exit_code == 1
    assert only_line(told.stderr).endswith(f"{prefixed('videos')}. `celery -A tasks queues apply` makes them.")
    found = {each["kind"]: each for each in json.loads(told.stdout)["queues"]}
    assert found["videos"]["lanes"] == {"high": {"visible": 0, "inFlight": 0, "delayed": 0}, "normal": None}
    assert found["articles"]["missing"] == []


def test_a_watch_goes_on_through_an_outage(database: Any, queues: Any, sqs_proxy: SqsProxy) -> None:
    watching = process("status", "--watch", "--json")
    assert watching.stdout is not None
    try:
        assert "queues" in json.loads(watching.stdout.readline())
        sqs_proxy.fail(actions={"GetQueueAttributes"})
        while "queues" in (told := json.loads(watching.stdout.readline())):
            pass
        assert told["error"].startswith("SQS does not answer")
        sqs_proxy.well()
        while "error" in json.loads(watching.stdout.readline()):
            pass
    finally:
        watching.send_signal(2)
        assert watching.wait(PATIENCE_SECONDS) == 0


# -- with a worker


def test_a_test_is_followed_to_its_end_and_a_pause_keeps_workers_from_the_next(
    database: Any, queues: Any, tmp_path: Path
) -> None:
    with Worker(tmp_path / "worker.log", "articles", SQS_WAIT_TIME_SECONDS="20") as worker:
        told = run(f"send-test --wait {PATIENCE_SECONDS} --json")
        assert told.exit_code == 0, told.stderr
        said = json.loads(told.stdout)
        assert (said["status"], said["states"][0]["status"], said["states"][-1]["percent"]) == ("completed", "queued", 100)
        wait_for(lambda: _status()["receivedPerMinute"] > 0, "the worker to say what it received", worker)
        assert _status()["completedPerMinute"] > 0

        run("pause articles --reason fans")
        untaken = wait_for(lambda: _untaken(run("send-test --wait 2"), worker), "the pause to hold", worker)
        assert "the queue is paused: fans" in untaken.stderr
        job_id = untaken.stdout.split()[0]
        assert (_status()["processingJobs"], _status()["openJobs"]) == (0, 1)
        assert run("resume articles").stdout == "articles is received from again.\n"
        assert finished(job_id, worker).status == "completed"


def _untaken(told: Result, worker: Worker) -> Result | None:
    """A worker may still take what comes within a second of the pause, and begin with it later. Then all is over soon."""

    def left_or_over() -> dict[str, Any] | None:
        seen = _status()
        return seen if seen["visible"] == 1 or not seen["openJobs"] else None

    is_left = told.exit_code == 1 and wait_for(left_or_over, "the job to be left or done", worker)["openJobs"] == 1
    return told if is_left else None


def _status() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run("status articles --json").stdout)["queues"][0]
    return told


def test_a_test_that_nobody_takes_says_why(database: Any, queues: Any) -> None:
    told = run("send-test images --wait 0")
    assert told.exit_code == 1
    assert "no worker runs for images; `celery -A tasks worker -Q images` starts one" in only_line(told.stderr)
    job = jobs_database().collection("jobs").find_one()
    assert job is not None
    assert (job["kind"], job["status"], job["user_id"]) == ("images", "queued", "operator")


@pytest.mark.parametrize("kind", KINDS)
def test_the_trial_of_every_kind_is_a_valid_order(kind: str) -> None:
    payload_model(kind).model_validate(payload_model(kind).trial)


# -- pause, resume, drain


def test_resume_lifts_pause_and_drain_and_says_which(database: Any, queues: Any) -> None:
    run("pause images videos --reason fans")
    drains().begin("videos", "ann")
    assert {kind: pause.reason for kind, pause in pauses().known().items()} == {"images": "fans", "videos": "fans"}
    assert run("resume images videos articles").stdout.splitlines() == [
        "images is received from again.",
        "videos is received from again and open for new jobs again.",
        "articles was neither paused nor drained.",
    ]
    assert not pauses().known()
    assert not drains().all()


def test_a_drain_waits_for_open_jobs_and_stays_when_it_gives_up(database: Any, queues: Any) -> None:
    order()
    told = run("drain articles --timeout 0")
    assert told.exit_code == 1
    assert "articles: 1 open job, 1 message; no worker runs for it" in told.stdout
    assert "New jobs stay refused" in only_line(told.stderr)
    assert "articles" in drains().all()


def test_a_drain_ends_once_jobs_and_messages_are_gone(database: Any, queues: Any) -> None:
    job_id = order()
    draining = process("drain", "articles", "--json")
    assert draining.stderr is not None
    assert "1 open job, 1 message" in draining.stderr.readline()
    store().request_cancel(job_id, "ada")
    assert "0 open jobs, 1 message" in draining.stderr.readline()
    queue_for("articles").purge()
    out, _ = draining.communicate(timeout=PATIENCE_SECONDS)
    assert draining.returncode == 0
    assert json.loads(out) == {"kind": "articles", "empty": True, "openJobs": 0, "messages": 0}


# -- purge and delete


@pytest.mark.parametrize("words", ["purge articles", "delete articles", "purge articles --dead-letters"])
def test_what_destroys_needs_a_yes_where_there_is_nobody_to_ask(database: Any, queues: Any, words: str) -> None:
    queue_for("articles").send(Outgoing("x"))
    told = run(words)
    assert told.exit_code == 1
    assert only_line(told.stderr).endswith("There is nobody here to ask: add --yes to do it.")
    assert queue_for("articles").count() == 1


def test_a_purge_deletes_messages_of_all_lanes_and_no_job(database: Any, queues: Any) -> None:
    order()
    queue_for("articles", "high").send(Outgoing("x"))
    dead_letters_of("articles").send(Outgoing("x"))
    told = run("purge articles --yes")
    assert f"Purged {prefixed('articles-high')}, {prefixed('articles')}: 2 messages." in told.stdout
    assert "The relay sends 1 open job of articles again" in told.stdout
    assert (queue_for("articles").count(), queue_for("articles", "high").count()) == (0, 0)
    assert dead_letters_of("articles").count() == 1
    assert jobs_database().collection("jobs").count_documents({"status": "queued"}) == 1
    again = run("purge articles --yes")
    assert again.exit_code == 1
    assert "purged less than a minute ago" in only_line(again.stderr)


def test_a_purge_may_end_the_jobs_too(database: Any, queues: Any) -> None:
    job_id = order()
    told = json.loads(run("purge articles --cancel-jobs --yes --json").stdout)
    assert (told["openJobs"], told["cancelledJobs"], told["stoppingJobs"]) == (1, 1, 0)
    job = store().get(job_id)
    assert job is not None
    assert job.status == "cancelled"


def test_dead_letters_are_purged_apart(database: Any, queues: Any) -> None:
    queue_for("articles").send(Outgoing("x"))
    dead_letters_of("articles").send(Outgoing("x"))
    assert run("purge articles --dead-letters --yes").exit_code == 0
    assert (queue_for("articles").count(), dead_letters_of("articles").count()) == (1, 0)


def test_queues_with_open_jobs_are_deleted_by_force_only(database: Any, queues: Any) -> None:
    jobs_database().collection("jobs").insert_one(document("processing"))
    refused = run("delete articles --yes")
    assert refused.exit_code == 1
    assert "articles has 1 open job" in only_line(refused.stderr)
    queue_for("articles", "high").remove()
    forced = run("delete articles --yes --force --json")
    assert only_line(forced.stderr) == f"{prefixed('articles-high')} does not exist."
    assert json.loads(forced.stdout) == {"deleted": {prefixed("articles"): 0, prefixed("articles-dlq"): 0}, "openJobs": 1}
    assert "QueueUrls" not in client().list_queues(QueueNamePrefix=prefixed("articles"))


# -- what goes wrong


@pytest.mark.parametrize("words", COMMANDS)
def test_with_nothing_there_each_command_says_one_line(environment: Any, words: str) -> None:
    environment(MONGODB_URI=f"{NO_MONGODB}&serverSelectionTimeoutMS=100", AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    told = run(words)
    assert told.exit_code == 1, told.exception
    assert only_line(told.stderr).startswith(f"{words.split()[0]}: ")
    assert {"MongoDB can't be reached", "SQS does not answer"} & {*told.stderr.split(": ")}


@pytest.mark.parametrize("words", ["plan", "status", "purge articles --yes", "delete articles --yes"])
def test_wrong_credentials_are_said_with_the_remedy(database: Any, queues: Any, sqs_proxy: SqsProxy, words: str) -> None:
    sqs_proxy.fail(403, code="InvalidClientTokenId", actions={"GetQueueUrl", "GetQueueAttributes"})
    told = run(words)
    assert told.exit_code == 1
    assert only_line(told.stderr).endswith("AWS does not know these credentials. Correct AWS_ACCESS_KEY_ID.")


def test_an_unknown_kind_is_refused_by_name() -> None:
    told = run("purge nonsense --yes")
    assert told.exit_code == 1
    assert only_line(told.stderr).endswith(f"There is no kind 'nonsense'; there are {', '.join(KINDS)}.")


def test_wrong_settings_are_said_in_a_line(environment: Any) -> None:
    environment(LEASE_SECONDS="soon")
    told = run("status")
    assert told.exit_code == 1
    assert "LEASE_SECONDS='soon' can't be used" in only_line(told.stderr)


def test_celery_knows_the_commands_and_json_is_alone_on_stdout(database: Any, queues: Any) -> None:
    giving = process("send-test", "images", "--wait", "0", "--json")
    out, err = giving.communicate(timeout=PATIENCE_SECONDS)
    assert giving.returncode == 1
    assert json.loads(out)["status"] == "queued"
    assert "Traceback" not in err
    assert "No worker took the job" in err
