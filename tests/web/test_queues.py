"""Queues and dead letters over HTTP: seen by those who see all, acted upon by operators, whose names stay with it."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.life import Status
from jobs.roles import Role
from jobs.submit import Order, submit
from queues.catalogue import KINDS
from queues.queue import dead_letters_of, queue_for
from tests.jobs.failing import fail, history, lay, letters
from tests.jobs.waiting import in_queue, read
from tests.sqs import SqsProxy

LOOKS = ["/api/queues", "/api/queues/articles/dead-letters"]
ACTS = [f"/api/queues/articles/{verb}" for verb in ("pause", "resume", "redrive", "drop")]


def test_every_lane_of_every_kind_is_told(client: FlaskClient) -> None:
    for priority in ("normal", "high", "high"):
        submit(Order(kind="articles", payload={"topic": "Bees"}, user_id="ada", priority=priority))  # type: ignore[arg-type]  # pytest's texts
    lay("nonsense")
    told = {(queue["kind"], queue["lane"]): queue for queue in client.get("/api/queues").get_json()["queues"]}
    assert set(told) == {(kind.name, lane) for kind in KINDS.values() for lane in kind.lanes}
    high, normal = told["articles", "high"], told["articles", "normal"]
    assert (high["visible"], normal["visible"], normal["deadLetters"], normal["inFlight"]) == (2, 1, 1, 0)
    assert normal["name"] == queue_for("articles").name
    assert (normal["paused"], told["images", "normal"]["oldestStartableSeconds"]) == (None, None)
    assert normal["oldestStartableSeconds"] >= 0


def test_however_many_look_sqs_is_asked_once(client: FlaskClient, sqs_proxy: SqsProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.queues.HOLDS_SECONDS", 3_600)
    client.get("/api/queues")
    before = sqs_proxy.counts.copy()
    assert client.get("/api/queues").status_code == 200
    assert sqs_proxy.counts == before


def test_a_queue_is_paused_and_resumed_by_name(client: FlaskClient) -> None:
    paused = client.post("/api/queues/articles/pause", json={"reason": "The bill"}).get_json()["paused"]
    assert (paused["reason"], paused["by"], paused["nextTry"]) == ("The bill", "local", None)
    (queue,) = [each for each in client.get("/api/queues").get_json()["queues"] if each["name"] == queue_for("articles").name]
    assert queue["paused"] == paused
    resumed = client.post(f"/api/queues/{queue['name']}/resume").get_json()
    assert (resumed["resumed"], resumed["paused"], resumed["takesNewJobsAgain"]) == (True, None, False)
    assert client.post("/api/queues/poems/pause", json={"reason": "x"}).status_code == 404
    assert client.post("/api/queues/articles/pause", json={}).get_json()["errors"][0]["field"] == "reason"


def test_what_failed_is_grouped_by_error_and_paged(client: FlaskClient, database: Any) -> None:
    ids = {fail(database, "provider_refused", f"No, said {n:04}.").id for n in range(3)}
    fail(database, "timed_out", "Too slow.", letter=False)
    lay("nonsense")
    first = client.get("/api/queues/articles/dead-letters?limit=1").get_json()
    (group,) = first["groups"]
    assert (group["error"], group["jobs"], group["letters"], set(group["jobIds"])) == ("provider_refused", 3, 3, ids)
    assert group["remedy"]
    rest = client.get(f"/api/queues/articles/dead-letters?cursor={first['next']}").get_json()
    assert {(each["error"], each["jobs"], each["letters"]) for each in rest["groups"]} == {
        ("timed_out", 1, 0),
        ("malformed", 0, 1),
    }
    assert rest["next"] is None
    assert client.get("/api/queues/articles/dead-letters?cursor=x").get_json()["errors"][0]["field"] == "cursor"


def test_a_group_is_sent_back_after_a_look_that_changes_nothing(client: FlaskClient, database: Any) -> None:
    refused, slow = fail(database, "provider_refused", "No."), fail(database, "timed_out", "Too slow.")
    order = {"filter": {"error": ["timed_out"], "message": "Too slow."}, "dryRun": True}
    looked = client.post("/api/queues/articles/redrive", json=order).get_json()
    assert (looked["startedOver"], looked["dryRun"], read(slow.id).status) == (1, True, Status.FAILED)
    done = client.post("/api/queues/articles/redrive", json={**order, "dryRun": False}).get_json()
    assert (done["startedOver"], done["more"]) == (1, False)
    assert (read(slow.id).status, read(refused.id).status) == (Status.QUEUED, Status.FAILED)
    assert history(slow.id)[-1]["by"] == "local"
    assert in_queue() == {slow.id: 1}
    assert len(letters()) == 1


def test_what_is_dropped_is_gone_from_the_list_and_the_job_stays_failed(client: FlaskClient, database: Any) -> None:
    failed = fail(database)
    lay("nonsense")
    done = client.post("/api/queues/articles/drop", json={"filter": {}}).get_json()
    assert (done["droppedJobs"], done["droppedLetters"]) == (1, 2)
    assert client.get("/api/queues/articles/dead-letters").get_json()["groups"] == []
    assert (read(failed.id).status, dead_letters_of("articles").count()) == (Status.FAILED, 0)
    assert client.post("/api/queues/articles/drop", json={}).get_json()["errors"][0]["field"] == "filter"


def test_users_see_none_of_it_viewers_look_and_operators_act(signed_in: Any) -> None:
    ada, looking = signed_in("ada"), signed_in("eve", Role.VIEWER)
    assert {ada.get(path).status_code for path in LOOKS} | {ada.post(path, json={}).status_code for path in ACTS} == {403}
    assert [looking.get(path).status_code for path in LOOKS] == [503, 503]  # he may, but SQS is away
    assert {looking.post(path, json={}).status_code for path in ACTS} == {403}


@pytest.mark.parametrize("path", LOOKS)
def test_with_sqs_away_the_answer_says_when_to_come_again(client: FlaskClient, sqs_proxy: SqsProxy, path: str) -> None:
    sqs_proxy.fail()
    answer = client.get(path)
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
