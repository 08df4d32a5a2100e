"""What an order may ask for: a time, an address to tell, texts to keep, an answer that waits; and doubles that are one job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs import idempotency
from jobs.document import Job
from jobs.roles import Role
from tests.jobs.waiting import in_queue
from tests.web.working import finish_article
from web.idempotency import HEADER, REPLAYED
from web.live import MOST_OF_A_USER, wait_for_end, watching
from web.watches import JobWatch

ORDER = {"type": "articles", "payload": {"topic": "Bees"}}
TOMORROW = datetime.now(UTC) + timedelta(days=1)
KEY = {HEADER: "order-1"}


def test_a_job_for_later_waits_for_its_time_and_is_not_sent(client: FlaskClient, database: Any) -> None:
    local = TOMORROW.astimezone().isoformat()
    job = client.post("/api/jobs", json={**ORDER, "runAt": local, "expiresIn": 60}).get_json()
    assert (job["status"], job["messageId"]) == ("scheduled", None)
    stored = database.jobs.find_one()
    assert abs(stored["not_before"] - TOMORROW) < timedelta(milliseconds=1)
    assert stored["expires_at"] - stored["not_before"] == timedelta(minutes=1)
    assert in_queue() == {}


def test_a_job_whose_time_has_passed_is_sent_at_once(client: FlaskClient) -> None:
    job = client.post("/api/jobs", json={**ORDER, "runAt": "2020-01-01T00:00:00Z", "expiresIn": 60}).get_json()
    assert job["status"] == "queued"
    assert in_queue() == {job["jobId"]: 1}
    assert datetime.fromisoformat(job["expiresAt"]) - datetime.fromisoformat(job["createdAt"]) == timedelta(minutes=1)


def test_what_an_order_brings_along_is_kept_with_its_job(unsent: FlaskClient, database: Any) -> None:
    address, texts = "https://example.com/hook?x=1", {"campaign": "spring", "no.2": ""}
    job = unsent.post("/api/jobs", json={**ORDER, "callbackUrl": address, "metadata": texts}).get_json()
    assert job["metadata"] == texts
    assert database.jobs.find_one()["callback"] == {"url": address}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("runAt", "2026-12-01T09:00:00", "send a time with its zone, as in 2026-12-01T09:00:00Z"),
        ("runAt", "soon", "send a time with its zone"),
        ("runAt", 1_800_000_000, "send a time with its zone"),
        ("runAt", "0001-01-01T00:00:00+23:00", "send a time with its zone"),
        ("runAt", f"{TOMORROW.year + 3}-01-01T00:00:00Z", "send a time within the next year"),
        ("callbackUrl", "ftp://example.com/", "must begin with https:// or http://"),
        ("callbackUrl", "http://169.254.169.254/latest", "not an address of the public internet"),
        ("callbackUrl", "https://ada:secret@example.com/", "leave it out"),
        ("metadata", {str(n): "x" for n in range(17)}, "send at most 16"),
        ("metadata.a", {"a": 1}, "send a text"),
        ("metadata.a", {"a": "x" * 501}, "send at most 500 characters"),
        ("metadata.a b", {"a b": "x"}, 'the text "a b": send under a name of 1 to 64 letters, digits and _ . : -'),
        ("expiresIn", 14 * 86_400 + 1, "send 1,209,600 or less"),
        ("expiresIn", 0, "send more than 0."),
    ],
)
def test_what_an_order_can_t_ask_for_is_refused_with_the_remedy(
    lonely_client: FlaskClient, field: str, value: object, words: str
) -> None:
    # MongoDB can't be reached here: had anything been inserted, the answer would be 503
    answer = lonely_client.post("/api/jobs", json={**ORDER, field.partition(".")[0]: value})
    (error,) = answer.get_json()["errors"]
    assert (answer.status_code, error["field"]) == (422, field)
    assert words in error["message"]


def test_jobs_that_are_done_in_order_have_no_time_to_start(lonely_client: FlaskClient) -> None:
    order = {"type": "resumes", "payload": {"action": "DELETE", "resumeId": "cv"}, "runAt": TOMORROW.isoformat()}
    (error,) = lonely_client.post("/api/jobs", json=order).get_json()["errors"]
    assert error == {
        "field": "runAt",
        "message": "runAt can't be sent for resumes, which are done in the order of their submission: leave it out.",
    }


def test_an_internal_kind_is_ordered_by_operators_only(signed_in: Any, database: Any) -> None:
    payload = {"url": "https://example.com/", "type": "test", "timestamp": "2026-01-01T00:00:00Z", "data": {}}
    order = {"type": "webhooks", "payload": payload}
    assert signed_in("ada").post("/api/jobs", json=order).status_code == 403
    assert signed_in("olga", Role.OPERATOR).post("/api/jobs", json=order).status_code == 202
    assert [job["user_id"] for job in database.jobs.find()] == ["olga"]


def test_an_answer_that_waits_has_the_finished_job(unsent: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def end_meanwhile(job_id: str, seconds: float, **by: Any) -> Job | None:
        worker = Thread(target=finish_article, args=[job_id])
        worker.start()
        try:
            return wait_for_end(job_id, seconds, **by)
        finally:
            worker.join()

    monkeypatch.setattr("web.jobs.wait_for_end", end_meanwhile)  # the worker of this test begins when the waiting does
    answer = unsent.post("/api/jobs?wait=20", json=ORDER)
    assert (answer.status_code, answer.get_json()["status"]) == (200, "completed")
    assert answer.get_json()["links"]["result"]


def test_an_answer_waits_no_longer_than_it_was_told(unsent: FlaskClient) -> None:
    answer = unsent.post("/api/jobs?wait=0.1", json=ORDER)
    assert (answer.status_code, answer.get_json()["status"]) == (202, "queued")
    assert [unsent.post(f"/api/jobs?wait={seconds}", json=ORDER).status_code for seconds in ("-1", "21", "nan", "x")] == [
        422
    ] * 4


def test_where_no_more_can_wait_the_answer_comes_at_once(signed_in: Any) -> None:
    ada = signed_in("ada")
    finish_article(ada.post("/api/jobs", json=ORDER, headers=KEY).get_json()["jobId"])
    with ExitStack() as waiting:
        for _ in range(MOST_OF_A_USER):
            waiting.enter_context(watching(JobWatch(job_id="some", by="ada")))
        assert ada.post("/api/jobs?wait=20", json=ORDER, headers=KEY).status_code == 202  # who waits would hear of its end
    assert ada.post("/api/jobs?wait=20", json=ORDER, headers=KEY).status_code == 200


def test_an_order_sent_again_with_its_key_is_the_same_job(client: FlaskClient, database: Any) -> None:
    first, again = (client.post("/api/jobs", json=ORDER, headers=KEY) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.get_json()["jobId"] == again.get_json()["jobId"]
    assert (first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (None, "true")
    assert database.jobs.find_one()["idempotency_key"] == KEY[HEADER]
    assert in_queue() == {first.get_json()["jobId"]: 1}


def test_a_key_with_another_order_is_refused_and_said(unsent: FlaskClient, database: Any) -> None:
    unsent.post("/api/jobs", json=ORDER, headers=KEY)
    for path, order in (("/api/jobs", {**ORDER, "priority": "high"}), ("/api/jobs/batch", {"jobs": [ORDER]})):
        answer = unsent.post(path, json=order, headers=KEY)
        (error,) = answer.get_json()["errors"]
        assert (answer.status_code, error["field"]) == (422, HEADER)
        assert "Another order came with this key within a day" in error["message"]
    assert database.jobs.count_documents({}) == 1


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/api/content/generate", {"topic": "Bees"}),
        ("/api/content/generate", {"topics": ["Bees"]}),
        ("/api/media/generate", {"type": "image", "prompt": "Bees"}),
        ("/assets/asset-jobs", {"world_id": "w", "asset_type": "IMAGE", "prompt_spec": {"description": "Bees"}}),
    ],
)
def test_every_way_to_order_takes_a_key_and_holds_to_the_users_room(
    unsent: FlaskClient, environment: Any, path: str, order: dict[str, Any]
) -> None:
    environment(USER_ACTIVE_JOBS="1")
    first, again = (unsent.post(path, json=order, headers=KEY) for _ in range(2))
    assert (first.status_code, again.status_code, again.headers[REPLAYED]) == (202, 202, "true")
    assert (first.get_json(), first.location) == (again.get_json(), again.location)
    other = unsent.post(path, json=order)
    assert (other.status_code, int(other.headers["Retry-After"]) > 0) == (429, True)


def test_a_key_is_its_users_own(signed_in: Any) -> None:
    answers = [signed_in(user).post("/api/jobs", json=ORDER, headers=KEY) for user in ("ada", "bob")]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.get_json()["jobId"] for answer in answers}) == 2


def test_a_key_whose_process_died_before_the_insert_still_makes_one_job(
    unsent: FlaskClient, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("web.ordering.submit", die)
        with pytest.raises(KeyboardInterrupt):
            unsent.post("/api/jobs", json=ORDER, headers=KEY)
    assert database.jobs.count_documents({}) == 0
    ids = {unsent.post("/api/jobs", json=ORDER, headers=KEY).get_json()["jobId"] for _ in range(2)}
    assert ids == {database.jobs.find_one()["_id"]}


def test_the_same_order_at_the_same_time_is_one_job(client: FlaskClient, database: Any) -> None:
    app = client.application
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: app.test_client().post("/api/jobs", json=ORDER, headers=KEY), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.get_json()["jobId"] for answer in answers} == {database.jobs.find_one()["_id"]}
    assert database.jobs.count_documents({}) == 1
    assert in_queue().total() == 1


def test_a_key_is_free_again_after_a_day(unsent: FlaskClient, database: Any) -> None:
    first = unsent.post("/api/jobs", json=ORDER, headers=KEY).get_json()
    database.idempotency_keys.update_one({}, {"$set": {"expires_at": datetime.now(UTC)}})
    other = unsent.post("/api/jobs", json={**ORDER, "priority": "high"}, headers=KEY)
    assert other.status_code == 202
    assert other.get_json()["jobId"] != first["jobId"]
    (kept,) = database.idempotency_keys.find()
    assert kept["expires_at"] - datetime.now(UTC) > timedelta(seconds=idempotency.KEPT_SECONDS - 60)


@pytest.mark.parametrize("key", ["", " ", "ä", "x" * 256])
def test_what_can_be_no_key_is_refused(lonely_client: FlaskClient, key: str) -> None:
    answer = lonely_client.post("/api/jobs", json=ORDER, headers={HEADER: key})
    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, HEADER)
