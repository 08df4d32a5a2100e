"""`celery -A tasks dead-letters …`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.dead_letters import dead_letters as command
from jobs.life import Status
from tests.jobs.failing import REFUSED, fail, history, lay, letters
from tests.jobs.waiting import in_queue, read
from tests.sqs import SqsProxy

GARBAGE = "not even JSON"


def run(*words: str) -> Result:
    """Give a command in this process. Nobody is at the terminal."""
    return CliRunner().invoke(command, words, prog_name="celery dead-letters")


def told(*words: str) -> Any:
    """What a command that ends well says with --json, which is alone on stdout."""
    ended = run(*words, "--json")
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def test_list_shows_each_error_once_with_its_numbers_and_the_remedy(database: Any, queues: Any) -> None:
    assert run("list").stdout == "No failed jobs and no dead letters.\n"
    for n in range(2):
        fail(database, message=f"No style 4711{n}.")
    lay(GARBAGE, "images", Reason="the body is not JSON")
    ended = run("list")
    assert ended.exit_code == 0, ended.output
    (refused,) = [line for line in ended.stdout.splitlines() if REFUSED in line]
    assert refused.split()[:4] == ["articles", REFUSED, "2", "2"]
    assert "No style …." in refused
    assert "its user changes it and submits it again" in ended.stdout
    assert "the body is not JSON" in ended.stdout
    (group,) = told("list", "--kind", "images")["groups"]
    assert (group["kind"], group["error"], group["jobs"], group["letters"]) == ("images", "malformed", 0, 1)


def test_show_tells_a_jobs_story_and_what_a_letter_says_that_nobody_could_read(database: Any, queues: Any) -> None:
    job = fail(database, message="No such style.")
    shown = run("show", job.id).stdout
    for said in (f"{REFUSED}: No such style.", '"topic": "Bees"', "fail ", f'"jobId": "{job.id}"', "JobType  articles"):
        assert said in shown
    (letter,) = letters()
    by_letter = told("show", letter.message_id)
    assert by_letter["job"]["jobId"] == job.id
    assert by_letter["letters"][0]["reason"] == f"{REFUSED}: No such style."
    shown = run("show", lay(GARBAGE, "images", Reason="the body is not JSON", Colour="red")).stdout
    for said in (GARBAGE, "the body is not JSON", "Colour  red"):
        assert said in shown
    unknown = run("show", "nobody")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("dead-letters show: There is no job and no dead letter nobody.")
    assert len(unknown.stderr.splitlines()) == 1


def test_redrive_asks_first_and_then_names_who_did_it(database: Any, queues: Any) -> None:
    job = fail(database)
    lay(GARBAGE)
    dry = run("redrive", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "starts over" in dry.stdout
    assert dry.stdout.splitlines()[-1] == "would start over: 1 job; would stay as it is: 1 letter"
    unasked = run("redrive")
    assert unasked.exit_code == 1
    assert "add --yes" in unasked.stderr
    assert read(job.id).status is Status.FAILED
    done = run("redrive", "--yes", "--by", "olga")
    assert (done.exit_code, done.stdout) == (0, "started over: 1 job; left as it is: 1 letter\n"), done.stderr
    assert history(job.id)[-1]["by"] == "olga"
    assert in_queue() == {job.id: 1}
    assert [letter.body for letter in letters()] == [GARBAGE]
    fail(database)
    document = told("redrive", "--error", REFUSED, "--newer-than", "1h", "--yes")
    assert document["dryRun"] is False
    assert [(group["does"], group["jobs"], group["letters"]) for group in document["groups"]] == [("starts over", 1, 1)]


def test_drop_wants_to_know_what(database: Any, queues: Any) -> None:
    job = fail(database)
    ended = run("drop", "--yes")
    assert ended.exit_code == 1
    assert "Say what to drop" in ended.stderr
    assert run("drop", "--job", job.id, "--yes").stdout == "dropped: 1 failed job and 1 letter\n"
    assert (read(job.id).status, letters()) == (Status.FAILED, [])
    assert run("drop", "--all", "--yes").stdout == "Nothing of that sort is there.\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["list", "--kind", "poems"], "There is no kind 'poems'; there are articles"),
        (["list", "--older-than", "soon"], "'soon' is no time; write 90s, 15m, 1h or 2d."),
        (["redrive", "--older-than", "2h", "--newer-than", "1h"], "Nothing is both"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(words: list[str], says: str) -> None:
    ended = run(*words)
    assert ended.exit_code == 1
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_with_sqs_away_it_is_said_in_a_line(database: Any, sqs_proxy: SqsProxy) -> None:
    sqs_proxy.refuse()
    for words in (["list"], ["redrive", "--yes"]):
        ended = run(*words)
        assert ended.exit_code == 1
        assert "SQS does not answer" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_missing_queues_are_named_after_what_is_there_was_shown(database: Any, sqs: str, environment: Any) -> None:
    environment(QUEUE_PREFIX="nowhere-")
    fail(database, letter=False)
    ended = run("list", "--kind", "images", "--kind", "articles")
    assert ended.exit_code == 1
    assert REFUSED in ended.stdout
    assert ended.stderr == (
        "dead-letters list: These queues do not exist: nowhere-images-dlq, nowhere-articles-dlq. "
        "`celery -A tasks queues apply` makes them.\n"
    )
