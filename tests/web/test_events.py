"""Live events, over HTTP: one job with its text, and lists of jobs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from socket import socketpair
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask.testing import FlaskClient

from devstack.forwarder import Forwarder
from devstack.server import Server, free_port
from jobs.document import Job
from jobs.keys import keys
from jobs.life import Status
from jobs.roles import Role
from jobs.store import store
from jobs.texts import TextStream
from tests.jobs.jobs import document
from tests.web.streams import PATIENCE_SECONDS, LocalStream, RemoteStream
from tests.web.test_process import gunicorn, wait_for
from tests.web.working import claim, fail, finish_article
from web.live import MOST_OF_A_USER, Live, TooManyOfUser, TooManyStreams, wait_for_end
from web.watches import MOST_WAITING, JobWatch, ListWatch, Told

STREAMS = 300


@pytest.fixture
def job(client: FlaskClient, database: Any) -> dict[str, Any]:
    """A job that waits."""
    waiting = document(user_id="local")
    database.jobs.insert_one(waiting)
    return waiting


def write(job: Job, *texts: str) -> None:
    """What an attempt writes of an article, at once."""
    stream = TextStream(job)
    for text in texts:
        stream.add(text)
    stream.flush()


def stage(job: Job, words: str, percent: int = 50) -> None:
    assert job.lease
    assert store().progress(job.id, job.lease.token, percent=percent, stage=words)


def events_of(client: FlaskClient, job: dict[str, Any], query: str = "", **headers: str) -> LocalStream:
    return LocalStream(client, f"/api/jobs/{job['_id']}/events{query}", **headers)


def test_a_job_is_told_as_it_is_then_each_change_and_its_end_ends_the_stream(client: FlaskClient, job: dict[str, Any]) -> None:
    with events_of(client, job) as stream:
        first = stream.next()
        assert (first.name, first.id) == ("job", f"{job['_id']}:1")
        assert first.data == client.get(f"/api/jobs/{job['_id']}").get_json()
        started = claim(job["_id"])
        assert stream.next().data["status"] == "processing"
        stage(started, "Halfway")
        assert stream.next().data["progress"] == {"percent": 50, "stage": "Halfway"}
        assert started.lease
        store().complete(started.id, started.lease.token, result={}, usage={})
        (last,) = stream.rest()
        assert (last.data["status"], last.id) == ("completed", f"{job['_id']}:4")
    assert stream.answer.mimetype == "text/event-stream"
    assert (stream.answer.headers["Cache-Control"], stream.answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert [event.data["status"] for event in events_of(client, job).rest()] == ["completed"]
    again = client.get(f"/api/jobs/{job['_id']}/events", headers={"Last-Event-ID": last.id})
    assert again.status_code == 204  # or browsers would come back for ever


def test_text_comes_piece_by_piece_is_cut_off_where_it_was_replaced_and_all_of_it_before_the_end(
    client: FlaskClient, database: Any, job: dict[str, Any]
) -> None:
    first = claim(job["_id"])
    write(first, "# Bees 🐝\n\n", "They fly.")
    with events_of(client, job) as stream:
        assert stream.next("text").data == {"offset": 0, "text": "# Bees 🐝\n\nThey fly."}
        database.jobs.update_one({"_id": first.id}, {"$set": {"lease.expires_at": first.created_at}})
        second = claim(job["_id"])
        write(second, "# Bees 🐝\n\nThey dance.")
        assert stream.next("text").data == {"offset": 16, "text": "dance."}
        write(second, "# Bees 🐝\n\nThey dance. All of them.")
        assert second.lease
        store().complete(second.id, second.lease.token, result={}, usage={})
        *_, text, end = stream.rest()
        assert (text.data, end.data["status"]) == ({"offset": 22, "text": " All of them."}, "completed")


def test_who_comes_back_gets_what_he_lacks_and_no_part_twice(client: FlaskClient, job: dict[str, Any]) -> None:
    running = claim(job["_id"])
    write(running, "Bees fly.")
    with events_of(client, job) as stream:
        stream.next("text")
        stage(running, "Halfway")
        stream.next("job", progress={"percent": 50, "stage": "Halfway"})
        next(iter(stream))  # says no more than what the id of the last event is
    stage(running, "Nearly there", 90)
    write(running, "Bees fly.", " They dance.")
    with events_of(client, job, Last_Event_ID=stream.last_id) as stream:
        assert stream.next().data["progress"]["stage"] == "Nearly there"
        assert stream.next().data == {"offset": 9, "text": " They dance."}
    with events_of(client, job, "?text=9") as stream:
        assert stream.next("text").data == {"offset": 9, "text": " They dance."}
    database_id = stream.last_id
    write(running, "Wasps fly, and sting whom they like.")
    with events_of(client, job, Last_Event_ID=database_id) as stream:
        assert stream.next("text").data == {"offset": 0, "text": "Wasps fly, and sting whom they like."}


def test_a_slow_reader_skips_what_is_outdated(client: FlaskClient, job: dict[str, Any]) -> None:
    running = claim(job["_id"])
    with events_of(client, job) as slow, events_of(client, job) as quick:
        for stream in (slow, quick):
            stream.next("job")
        for percent in range(10, 60):
            stage(running, "Writing", percent)
            quick.next("job", progress={"percent": percent, "stage": "Writing"})
        assert slow.next().data["progress"]["percent"] == 59


def test_the_list_is_to_be_fetched_first_then_each_change_is_told(client: FlaskClient, database: Any) -> None:
    with LocalStream(client, "/api/events?type=images") as stream:
        assert stream.next().name == "resync"
        submitted = client.post("/api/jobs", json={"type": "images", "payload": {"prompt": "Bees"}}).get_json()
        client.post("/api/jobs", json={"type": "articles", "payload": {"topic": "Bees"}})
        assert stream.next("job").data["jobId"] == submitted["jobId"]
        fail(submitted["jobId"])
        failed = stream.next("job", status="failed")
        assert (failed.data["type"], failed.id) == ("images", f"{submitted['jobId']}:{store().get(submitted['jobId']).version}")  # type: ignore[union-attr]  # it is there


def test_users_are_told_of_their_own_jobs_only_and_operators_of_all(
    client: FlaskClient, database: Any, environment: Any
) -> None:
    environment(AUTH="keys")
    roles = {"ada": Role.USER, "op": Role.OPERATOR}
    bearer = {name: {"Authorization": f"Bearer {keys().create(name, role)[1]}"} for name, role in roles.items()}
    hers, his = document(user_id="ada"), document(user_id="bob")
    with (
        LocalStream(client, "/api/events", **bearer["ada"]) as of_ada,
        LocalStream(client, "/api/events", **bearer["op"]) as of_all,
    ):
        for stream in (of_ada, of_all):
            stream.next("resync")
        database.jobs.insert_many([his, hers])
        assert {of_all.next("job").data["jobId"] for _ in range(2)} == {his["_id"], hers["_id"]}
        assert of_ada.next("job").data["jobId"] == hers["_id"]
    path = f"/api/jobs/{his['_id']}/events"
    assert client.get(path, headers=bearer["ada"]).status_code == 404
    LocalStream(client, path, **bearer["op"]).answer.close()
    streams = [LocalStream(client, "/api/events", **bearer["ada"]) for _ in range(MOST_OF_A_USER)]
    refused = client.get("/api/events", headers=bearer["ada"])
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    assert "Close some" in refused.get_json()["detail"]
    streams[0].answer.close()
    LocalStream(client, "/api/events", **bearer["ada"]).answer.close()
    for stream in streams:
        stream.answer.close()


def test_who_is_signed_out_meanwhile_is_told_nothing_more(client: FlaskClient, database: Any, environment: Any) -> None:
    environment(AUTH="keys")
    key, secret = keys().create("ada", Role.USER)
    with LocalStream(client, "/api/events", Authorization=f"Bearer {secret}") as stream:
        stream.next("resync")
        database.jobs.insert_one(document(user_id="ada"))
        stream.next("job")
        keys().revoke(key.id)
        keys.cache_clear()  # seconds later
        database.jobs.insert_one(document(user_id="ada"))
        assert stream.rest() == []


@pytest.mark.parametrize(("query", "field"), [("?text=soon", "text"), ("?text=-1", "text"), ("?from=3", "from")])
def test_what_cant_be_followed_is_refused_with_words(client: FlaskClient, job: dict[str, Any], query: str, field: str) -> None:
    refused = client.get(f"/api/jobs/{job['_id']}/events{query}")
    assert (refused.status_code, refused.get_json()["errors"][0]["field"]) == (422, field)


def test_an_unknown_job_has_no_events(client: FlaskClient) -> None:
    assert client.get("/api/jobs/nobody/events").status_code == 404


def test_streams_go_on_when_mongodb_comes_back(
    client: FlaskClient, job: dict[str, Any], database: Any, environment: Any
) -> None:
    address = urlsplit(os.environ["MONGODB_URI"])
    with Forwarder(str(address.hostname), int(address.port or 0)) as forwarder:
        environment(MONGODB_URI=f"mongodb://{forwarder.address}/?directConnection=true")
        with events_of(client, job) as stream:
            stream.next("job")
            forwarder.cut()
            database.jobs.update_one({"_id": job["_id"]}, {"$inc": {"version": 1}, "$set": {"progress.stage": "Meanwhile"}})
            forwarder.restore()
            assert stream.next("job").data["progress"]["stage"] == "Meanwhile"


def test_who_waits_for_a_jobs_end_is_told_of_it_or_not_in_time(database: Any, job: dict[str, Any]) -> None:
    assert wait_for_end(job["_id"], 0.05) is None
    assert wait_for_end("nobody", PATIENCE_SECONDS) is None
    Thread(target=finish_article, args=(job["_id"],)).start()
    ended = wait_for_end(job["_id"], PATIENCE_SECONDS)
    assert ended is not None
    assert ended.status is Status.COMPLETED


def test_a_list_that_is_not_read_keeps_no_more_than_that_it_is_to_be_fetched_again() -> None:
    watch = ListWatch(user_id=None)
    for _ in range(MOST_WAITING + 5):
        watch.tell(Told(Job.from_document(document())))
    has_missed, jobs = watch.take()
    assert (has_missed, len(jobs)) == (True, 4)
    assert watch.take() == (False, [])


def test_streams_of_a_process_and_of_a_user_are_limited(database: Any) -> None:
    few = Live(most=MOST_OF_A_USER + 1)
    of_ada = [JobWatch(job_id="x", by="ada") for _ in range(MOST_OF_A_USER)]
    for watch in of_ada:
        few.open(watch)
    with pytest.raises(TooManyOfUser, match="api/events"):
        few.open(JobWatch(job_id="x", by="ada"))
    few.open(JobWatch(job_id="x", by="bob"))
    with pytest.raises(TooManyStreams, match="on this server"):
        few.open(JobWatch(job_id="x", by="eve"))
    few.close(of_ada[0])
    ours, clients = socketpair()
    few.open(JobWatch(job_id="x", by="eve", client=ours))
    clients.close()  # which is seen when there is no room
    few.open(JobWatch(job_id="x", by="eve"))
    few.end()
    ours.close()


@pytest.fixture
def web(database: Any, queues: Any, tmp_path: Path, environment: Any) -> Iterator[tuple[str, Server]]:
    """A gunicorn as it is run, but with a grace that no test waits for."""
    port = free_port()
    environment(PORT=str(port))
    server = Server("web", [*gunicorn(), "--graceful-timeout", str(10 * PATIENCE_SECONDS)], tmp_path / "web.log")
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, server)
        yield address, server
    finally:
        server.stop()


def test_one_process_serves_300_streams_and_the_api_and_ends_them_before_it_ends(
    web: tuple[str, Server], database: Any
) -> None:
    address, server = web
    jobs = [document(user_id="local") for _ in range(2)]
    database.jobs.insert_many(jobs)
    streams = [RemoteStream(f"{address}/api/jobs/{jobs[n % 2]['_id']}/events") for n in range(STREAMS)]
    for stream in streams:
        stream.next("job", status="queued")
    assert requests.get(f"{address}/api/jobs", timeout=PATIENCE_SECONDS).status_code == 200
    for job in jobs:
        claim(job["_id"])
    for stream in streams:
        stream.next("job", status="processing")
    server.process.send_signal(signal.SIGTERM)
    for stream in streams:
        assert stream.rest() == []
        stream.close()
    assert server.process.wait(PATIENCE_SECONDS) == 0
