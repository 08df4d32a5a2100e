"""A user's resumes over HTTP: ordered as jobs, read as they are."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient

from jobs.resumes import Change, resumes
from jobs.store import store
from tests.jobs.jobs import TOKEN
from tests.jobs.ordered import change

CREATION = {"type": "resumes", "payload": {"action": "CREATE", "resumeId": "cv", "data": {"basics": {"name": "Ada"}}}}


def create(user_id: str) -> None:
    job = store().insert(change("CREATE", user_id).document(), by="web")
    claimed = store().claim(job.id, kind="resumes", seq=job.seq, token=TOKEN, worker="w", message_id="m")
    assert claimed is not None
    resumes().apply(claimed, Change(action="CREATE", resume_id="cv", template="plain", data={"of": user_id}))


def test_a_change_is_accepted_as_a_job_with_its_number(client: FlaskClient, database: Any) -> None:
    for number in (1, 2):
        answer = client.post("/api/jobs", json=CREATION)
        assert (answer.status_code, answer.get_json()["type"]) == (202, "resumes")
        assert database.jobs.find_one({"_id": answer.get_json()["jobId"]})["seq"] == number


def test_a_resume_is_answered_as_it_is(client: FlaskClient, database: Any) -> None:
    create("local")
    answer = client.get("/api/resumes/cv")
    found = answer.get_json()
    assert answer.status_code == 200
    assert {name: found[name] for name in ("resumeId", "template", "data", "version")} == {
        "resumeId": "cv",
        "template": "plain",
        "data": {"of": "local"},
        "version": 1,
    }
    assert {*found} == {"resumeId", "template", "data", "version", "createdAt", "updatedAt"}


def test_another_users_resume_is_not_found(client: FlaskClient, database: Any) -> None:
    create("grace")
    assert [client.get(f"/api/resumes/{name}").status_code for name in ("cv", "nothing")] == [404, 404]


def test_what_a_change_lacks_is_named(client: FlaskClient, database: Any) -> None:
    for payload, field in (
        ({"action": "CREATE", "resumeId": "cv"}, "payload.data"),
        ({"action": "UPDATE", "resumeId": "cv"}, "payload.data"),
        ({"action": "RENAME", "resumeId": "cv"}, "payload.action"),
        ({"action": "DELETE", "resumeId": "a/b"}, "payload.resumeId"),
    ):
        answer = client.post("/api/jobs", json={"type": "resumes", "payload": payload})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.get_json()["errors"]] == [field]
    assert database.jobs.count_documents({}) == 0


def test_a_time_to_start_is_refused(client: FlaskClient, database: Any) -> None:
    answer = client.post("/api/jobs", json={**CREATION, "runAt": "2030-01-01T00:00:00Z"})
    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, "runAt")
    assert database.jobs.count_documents({}) == 0
