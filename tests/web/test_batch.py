"""Many jobs in one request: entry by entry, and in few requests to SQS and MongoDB."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.draining import drains
from tests.jobs.waiting import in_queue
from tests.sqs import SqsProxy
from web.idempotency import HEADER, REPLAYED


def article(topic: str, **fields: Any) -> dict[str, Any]:
    return {"type": "articles", "payload": {"topic": topic}, **fields}


def test_each_entry_is_accepted_or_refused_by_itself_in_its_place(client: FlaskClient, database: Any) -> None:
    drains().begin("videos", "ada")
    entries = [
        article("Bees"),
        {"type": "articles", "payload": {"topic": "Bees", "wordCount": 1}},
        {"type": "poems"},
        "Bees",
        {"type": "articles", "payload": {"topic": "nul \0"}},
        {"type": "videos", "payload": {"prompt": "Bees"}},
        {"type": "images", "payload": {"prompt": "Bees"}, "priority": "high"},
    ]
    answer = client.post("/api/jobs/batch", json={"jobs": entries})
    assert answer.status_code == 202
    told = answer.get_json()["jobs"]
    assert [each.get("type") or each["error"]["status"] for each in told] == ["articles", 422, 422, 422, 422, 503, "images"]
    faults = [[fault["field"] for fault in each["error"].get("errors", [])] for each in told[1:6]]
    assert faults == [
        ["jobs[1].payload.wordCount"],
        ["jobs[2].type"],
        ["jobs[3]"],
        ["jobs[4].payload.topic"],
        [],
    ]
    assert [job["_id"] for job in database.jobs.find().sort("kind")] == [told[0]["jobId"], told[6]["jobId"]]
    assert (in_queue("articles"), in_queue("images", "high")) == ({told[0]["jobId"]: 1}, {told[6]["jobId"]: 1})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "jobs"),
        ({"jobs": {}}, "jobs"),
        ({"jobs": []}, "jobs"),
        ({"jobs": [0] * 1_001}, "jobs"),
        ({"jobs": [article("Bees")], "colour": 1}, "colour"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(lonely_client: FlaskClient, body: Any, field: str) -> None:
    answer = lonely_client.post("/api/jobs/batch", json=body)
    assert (answer.status_code, [fault["field"] for fault in answer.get_json()["errors"]]) == (422, [field])


def test_a_thousand_entries_full_of_faults_make_no_answer_of_many_times_their_size(lonely_client: FlaskClient) -> None:
    entry = {"type": "articles", "payload": {}, **{f"field{n}": n for n in range(50)}}
    sent = json.dumps({"jobs": [entry] * 1_000})
    answer = lonely_client.post("/api/jobs/batch", data=sent, content_type="application/json")
    told = answer.get_json()["jobs"]
    assert {len(each["error"]["errors"]) for each in told} == {10}
    assert len(answer.data) < 4 * len(sent)


def test_a_batch_is_sent_in_tens(client: FlaskClient, sqs_proxy: SqsProxy, database: Any) -> None:
    client.post("/api/jobs", json=article("The queue's address is looked up"))
    before = sqs_proxy.counts.copy()
    told = client.post("/api/jobs/batch", json={"jobs": [article(f"Bees {n}") for n in range(95)]}).get_json()["jobs"]
    assert all(job["messageId"] for job in told)
    asked = sqs_proxy.counts - before
    assert {action: n for action, n in asked.items() if action.startswith("Send")} == {"SendMessageBatch": 10}
    assert [job["payload"]["topic"] for job in database.jobs.find({"_id": {"$in": [told[0]["jobId"], told[94]["jobId"]]}})]


def test_a_batch_sent_again_with_its_key_makes_what_is_missing(unsent: FlaskClient, database: Any) -> None:
    batch, key = {"jobs": [article("Bees"), {"type": "poems"}, article("Wasps")]}, {HEADER: "batch-1"}
    first = unsent.post("/api/jobs/batch", json=batch, headers=key)
    database.jobs.delete_one({"_id": first.get_json()["jobs"][2]["jobId"]})  # as if it had died between the two inserts
    again = unsent.post("/api/jobs/batch", json=batch, headers=key)
    assert (first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (None, "true")
    ids = [[job.get("jobId") for job in answer.get_json()["jobs"]] for answer in (first, again)]
    assert ids[0] == ids[1]
    assert database.jobs.count_documents({}) == 2


def test_what_exceeds_the_users_room_is_refused_entry_by_entry(unsent: FlaskClient, environment: Any) -> None:
    environment(USER_ACTIVE_JOBS="2")
    told = unsent.post("/api/jobs/batch", json={"jobs": [article(f"Bees {n}") for n in range(4)]}).get_json()["jobs"]
    assert ["jobId" in each for each in told] == [True, True, False, False]
    assert told[2]["error"]["status"] == 429
    alone = unsent.post("/api/jobs", json=article("Wasps"))
    assert (alone.status_code, int(alone.headers["Retry-After"]) > 0) == (429, True)
