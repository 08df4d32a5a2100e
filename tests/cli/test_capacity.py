"""`celery -A tasks capacity` plans for a load."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.capacity import capacity
from jobs import counters, tally
from jobs.capacity import must_wait


def run(*words: str) -> Result:
    return CliRunner().invoke(capacity, words)


def planned(*words: str) -> dict[str, Any]:
    answer = run("--kind", "articles", "--json", *words)
    assert answer.exit_code == 0, answer.output
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_slots_follow_littles_law_and_the_share_they_may_be_busy() -> None:
    plan = planned("--rate", "960/min", "--run-seconds", "35", "--use", "0.7")
    assert plan["busySlots"] == pytest.approx(16 * 35)
    assert plan["slots"] == plan["workers"] * 16 == 800


def test_an_outage_is_made_up_for_by_what_the_slots_can_do_besides() -> None:
    plan = planned("--rate", "1/s", "--run-seconds", "8", "--use", "0.5", "--slots", "16", "--outage-minutes", "10")
    assert (plan["workers"], plan["backlog"]) == (1, 600)
    assert plan["drainSeconds"] == pytest.approx(600)  # 2/s can be done, 1/s comes


def test_a_job_longer_than_its_lease_is_renewed_for_all_that_its_process_holds() -> None:
    short = planned("--rate", "1/s", "--run-seconds", "5")["requestsAJob"]
    long = planned("--rate", "1/s", "--run-seconds", "100", "--slots", "200")["requestsAJob"]
    assert short["renew"] == 0
    assert long["renew"] == pytest.approx(1)  # ten times, ten messages a request


@pytest.mark.parametrize(("servers", "busy", "share"), [(10, 8, 0.4092), (1, 0.5, 0.5), (2, 1, 1 / 3), (5, 5, 1)])
def test_who_must_wait_is_what_erlangs_tables_say(servers: int, busy: float, share: float) -> None:
    assert must_wait(servers, busy) == pytest.approx(share, abs=0.0001)


def test_the_running_time_is_what_was_measured(database: Any) -> None:
    assert "say with --run-seconds" in run("--kind", "articles", "--rate", "1/s").stderr
    for seconds in (2.0, 4.0):
        tally.completed("articles", seconds)
    tally.completed("images", 100)
    counters.flush()
    assert planned("--rate", "1/s")["runSeconds"] == pytest.approx(3)
    assert "3 s each (measured, 2 attempts)" in run("--kind", "articles", "--rate", "1/s").stdout


def test_what_sqs_does_not_take_is_said() -> None:
    words = run("--kind", "articles", "--rate", "10000/s", "--run-seconds", "60").stdout
    assert "600,000 messages in flight are more than the 120,000 that SQS allows" in words
    assert "high throughput" in run("--kind", "resumes", "--rate", "400/s", "--run-seconds", "1").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--kind", "articles", "--rate", "fast"), "'fast' is no rate: write 1000/min"),
        (("--kind", "articles", "--rate", "0/min"), "'0/min' is no rate"),
        (("--kind", "poems", "--rate", "1/s"), "no kind 'poems'"),
        (("--kind", "articles", "--rate", "1/s", "--use", "2"), "0.05<=x<=0.99"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(words: tuple[str, ...], says: str) -> None:
    answer = run(*words)
    assert answer.exit_code != 0
    assert says in answer.stderr
