"""Asset jobs: the document's shapes, over the same jobs as everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.life import Status
from tests.jobs.jobs import document
from tests.jobs.waiting import in_queue
from tests.web.working import fail, finish_image
from web import create_app
from web.assets import STATUSES

ORDER = {
    "world_id": "world-7",
    "asset_type": "IMAGE",
    "provider": "local",
    "model_id": "m-1",
    "prompt_spec": {"description": "A harbour by night", "mood": "calm"},
    "priority": 8,
    "reviewed_by": "nobody",
}


def test_an_asset_is_ordered_followed_and_fetched(client: FlaskClient, database: Any) -> None:
    answer = client.post("/assets/asset-jobs", json=ORDER)
    assert answer.status_code == 202
    accepted = answer.get_json()
    assert set(accepted) == {"job_id", "status", "created_at"}
    assert accepted["status"] == "QUEUED"
    address = answer.headers["Location"]
    assert address == f"/assets/asset-jobs/{accepted['job_id']}"
    assert in_queue("images", "high") == {accepted["job_id"]: 1}
    assert database.jobs.find_one()["payload"]["prompt"] == "A harbour by night"
    finish_image(accepted["job_id"])
    told = client.get(address).get_json()
    asset = told.pop("asset")
    assert (asset["content_type"], client.get(asset["url"]).status_code) == ("image/png", 200)
    assert all(told.pop(name) for name in ("created_at", "started_at", "finished_at"))
    assert told == {
        "job_id": accepted["job_id"],
        "world_id": "world-7",
        "asset_type": "IMAGE",
        "provider": "local",
        "model_id": "m-1",
        "priority": 8,
        "status": "SUCCEEDED",
        "error_code": None,
        "error_message": None,
    }


def test_an_asset_that_failed_says_why(unsent: FlaskClient) -> None:
    job_id = unsent.post("/assets/asset-jobs", json=ORDER).get_json()["job_id"]
    fail(job_id)
    told = unsent.get(f"/assets/asset-jobs/{job_id}").get_json()
    assert (told["status"], told["error_code"], told["error_message"]) == ("FAILED", "provider_refused", "No bees today.")
    assert told["asset"] is None


def test_every_state_of_a_job_is_one_of_an_asset(unsent: FlaskClient, database: Any) -> None:
    for status in Status:
        made = document(status, kind="videos")
        database.jobs.insert_one(made)
        told = unsent.get(f"/assets/asset-jobs/{made['_id']}").get_json()
        assert (told["status"], told["asset_type"], told["world_id"], told["priority"]) == (STATUSES[status], "VIDEO", None, 5)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"provider": "oracle"}, "provider"),
        ({"asset_type": "SONG"}, "asset_type"),
        ({"priority": 10}, "priority"),
        ({"prompt_spec": {}}, "prompt_spec.description"),
        ({"world_id": ""}, "world_id"),
    ],
)
def test_what_is_wrong_with_an_order_is_named(lonely_client: FlaskClient, changes: Any, field: str) -> None:
    answer = lonely_client.post("/assets/asset-jobs", json={**ORDER, **changes})
    assert (answer.status_code, [error["field"] for error in answer.get_json()["errors"]]) == (422, [field])
    assert answer.get_json()["success"] is False


def test_unknown_fields_are_ignored_and_named_in_the_log(
    unsent: FlaskClient, environment: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    environment(LOG_FORMAT="json")
    assert create_app().test_client().post("/assets/asset-jobs", json=ORDER).status_code == 202
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (warning,) = [line for line in lines if line["event"] == "unknown fields ignored"]
    assert warning["fields"] == ["prompt_spec.mood", "reviewed_by"]


def test_an_article_is_no_asset_and_anothers_is_not_there(signed_in: Any, database: Any) -> None:
    theirs, article = document(kind="images", user_id="bob"), document(user_id="ada")
    database.jobs.insert_many([theirs, article])
    client = signed_in("ada")
    for job_id in (theirs["_id"], article["_id"], "nobody"):
        assert client.get(f"/assets/asset-jobs/{job_id}").status_code == 404
