"""Events over HTTP: accepted as a job, refused by name, counted for whoever may see them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.analytics import Happening, analytics
from jobs.keys import keys
from jobs.roles import Role
from jobs.store import store
from tests.web.working import claim
from web import create_app

VIEW = {"event": "article_view", "subject": "bees"}


@pytest.fixture
def client(database: Any) -> Iterator[FlaskClient]:
    """The application without queues: what is ordered is accepted, and waits to be sent."""
    before = logging.getLogger().handlers[:]
    yield create_app().test_client()
    logging.getLogger().handlers[:] = before


def send(client: FlaskClient, *events: Any, **headers: str) -> Any:
    return client.post("/api/analytics/events", json={"events": list(events)}, headers=headers)


def ago(**lapse: float) -> str:
    return (datetime.now(UTC) - timedelta(**lapse)).isoformat()


def test_events_are_accepted_as_one_job(client: FlaskClient, database: Any) -> None:
    answer = send(client, VIEW, {**VIEW, "at": ago(days=6), "data": {"referrer": "mail", "depth": 0.5, "isNew": True}})
    assert answer.status_code == 202
    job = store().get(answer.get_json()["jobId"])
    assert job is not None
    assert (answer.get_json()["accepted"], job.kind, len(job.payload["events"])) == (2, "analytics", 2)
    assert job.payload["events"][0] == VIEW


def test_events_sent_again_under_their_key_are_one_job(client: FlaskClient, database: Any) -> None:
    first, second = (send(client, VIEW, **{"Idempotency-Key": "batch-1"}).get_json() for _ in range(2))
    assert first == second
    assert database.jobs.count_documents({}) == 1


@pytest.mark.parametrize(
    ("event", "field", "words"),
    [
        ({"event": "page_view", "subject": "bees"}, "events[1].event", "send 'article_view', 'video_play' or 'user_action'"),
        ({"event": "article_view"}, "events[1].subject", "is missing"),
        ({**VIEW, "at": "yesterday"}, "events[1].at", "send a time with its zone"),
        ({**VIEW, "at": ago(days=8)}, "events[1].at", "within the last 7 days"),
        ({**VIEW, "at": ago(days=-1)}, "events[1].at", "at most 5 minutes ahead"),
        ({**VIEW, "data": {"nested": {}}}, "events[1].data", "a text of at most 300"),
        ({**VIEW, "data": {str(n): n for n in range(17)}}, "events[1].data", "at most 16 entries"),
        ({**VIEW, "sessionId": "x"}, "events[1].sessionId", "leave it out; known here are event, subject, at, data"),
    ],
)
def test_what_is_wrong_with_an_event_is_named(client: FlaskClient, event: Any, field: str, words: str) -> None:
    answer = send(client, VIEW, event)
    (fault,) = answer.get_json()["errors"]
    assert (answer.status_code, fault["field"]) == (422, field)
    assert words in fault["message"]


def test_more_events_than_a_batch_holds_are_refused(client: FlaskClient, database: Any) -> None:
    answer = send(client, *[VIEW] * 501)
    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, "events")
    assert send(client).status_code == 422
    assert database.jobs.count_documents({}) == 0


def count(client: FlaskClient, *happenings: Happening, **headers: str) -> None:
    """As a worker counts them."""
    job_id = send(client, VIEW, **headers).get_json()["jobId"]
    analytics().enter(claim(job_id), happenings)


@pytest.mark.usefixtures("database")
def test_counts_are_answered_by_the_hour_and_by_the_day(client: FlaskClient) -> None:
    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    late = begin + timedelta(hours=23, minutes=59)
    count(client, *(Happening("article_view", "bees", begin + timedelta(minutes=each)) for each in (0, 59, 60)))
    count(client, Happening("video_play", "waves", late), Happening("article_view", "wasps", late))
    told = client.get("/api/analytics", query_string={"by": "day"}).get_json()
    day = f"{begin:%Y-%m-%d}T00:00:00Z"
    assert told["counts"] == [{"at": day, "event": "article_view", "count": 4}, {"at": day, "event": "video_play", "count": 1}]
    query = {"event": "article_view", "subject": "bees", "from": f"{begin:%Y-%m-%d}", "to": f"{begin:%Y-%m-%d}T01:00:00Z"}
    told = client.get("/api/analytics", query_string=query).get_json()
    assert told == {
        "from": day,
        "to": query["to"],
        "by": "hour",
        "counts": [{"at": day, "event": "article_view", "count": 2}],
    }


@pytest.mark.usefixtures("database")
def test_users_see_their_own_counts_and_operators_everybodys(client: FlaskClient, environment: Any) -> None:
    environment(AUTH=None)
    signed = {
        name: {"Authorization": f"Bearer {keys().create(name, role)[1]}"}
        for name, role in (("ada", Role.USER), ("grace", Role.USER), ("olga", Role.OPERATOR))
    }
    viewed = Happening("article_view", "bees", datetime.now(UTC))
    for name, times in (("ada", 1), ("grace", 2)):
        count(client, *[viewed] * times, **signed[name])

    def seen(name: str, **query: str) -> list[int]:
        answer = client.get("/api/analytics", query_string={"subject": "bees", **query}, headers=signed[name])
        return [each["count"] for each in answer.get_json()["counts"]]

    assert [seen("ada"), seen("grace"), seen("olga"), seen("olga", user="ada")] == [[1], [2], [3], [1]]
    assert client.get("/api/analytics?user=grace", headers=signed["ada"]).status_code == 403


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"from": "soon"}, "from", "send a time with its zone"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "from", "not before to"),
        ({"from": "2025-01-01", "to": "2025-03-01"}, "from", "at most 31 days"),
        ({"from": "2024-01-01", "to": "2025-03-01", "by": "day"}, "from", "at most 366 days"),
        ({"to": "0001-01-01"}, "to", "a time of the year 1970 or later"),
        ({"by": "week"}, "by", "send 'hour' or 'day'"),
        ({"topic": "bees"}, "topic", "known here are event, subject, from, to, by, user"),
    ],
)
def test_a_question_that_can_not_be_answered_names_what_is_wrong(
    client: FlaskClient, query: dict[str, str], field: str, words: str
) -> None:
    answer = client.get("/api/analytics", query_string=query)
    (fault,) = answer.get_json()["errors"]
    assert (answer.status_code, fault["field"]) == (422, field)
    assert words in fault["message"]
