"""The pages without a browser: what they are made from, what their forms do, and what they never let through."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from jobs.draining import drains
from jobs.keys import keys
from jobs.life import Status
from jobs.pauses import pauses
from jobs.roles import Role
from jobs.samples import samples
from jobs.spending import spending
from jobs.store import store
from jobs.submit import Order, submit
from tasks.kinds import payload_model
from tests.jobs.failing import fail, letters
from web.identity import User
from web.pages.forms import blamed, filled
from web.pages.markdown import as_html
from web.pages.ordering import fields_of_kind, order_of, read
from web.pages.static import version_of_today
from web.pages.subjects import kinds_of_work
from web.pages.timeline import timeline
from web.problems import Fault

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ADA = User("ada")


def send(client: FlaskClient, path: str, **fields: Any) -> TestResponse:
    """Send a form as the pages do, with their token."""
    page = client.get("/usage").text
    found = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert found
    return client.post(path, data={"csrf_token": found[1], **fields})


def keyed(client: FlaskClient, user_id: str, role: Role) -> FlaskClient:
    theirs: FlaskClient = client.application.test_client()
    theirs.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {keys().create(user_id, role)[1]}"
    return theirs


def ordered(user_id: str = "local", **fields: Any) -> str:
    payload = payload_model("images").model_validate({"prompt": "Bees"}).model_dump(mode="json", by_alias=True)
    return submit(Order(kind="images", payload=payload, user_id=user_id, **fields)).id


def status_of(job_id: str) -> Status:
    job = store().get(job_id)
    assert job is not None
    return job.status


# -- the composer


@pytest.mark.parametrize("kind", kinds_of_work())
def test_what_stands_in_a_kinds_form_is_the_order_that_was_filled_in(kind: str, lonely_client: FlaskClient) -> None:
    wanted = payload_model(kind).model_validate(dict(payload_model(kind).trial)).model_dump(mode="json", by_alias=True)
    fields = filled(fields_of_kind(kind), {"payload": wanted})
    form: MultiDict[str, str] = MultiDict()
    for each in fields:
        if each.form == "check":
            form.setlist(each.name, ["1"] if each.value else [])
        elif each.form == "ticks":
            form.setlist(each.name, [str(entry) for entry in each.value or []])
        else:
            form[each.name] = each.shown
    document = read(fields, form).document
    assert payload_model(kind).model_validate(document["payload"]).model_dump(mode="json", by_alias=True) == wanted


def test_a_fault_is_told_beside_its_field_and_that_of_an_entry_beside_its_list() -> None:
    faults = [
        Fault(field="payload.wordCount", message="payload.wordCount is -1: send 50 or more."),
        Fault(field="payload.keywords[1]", message="payload.keywords[1] is too short or empty: send at least 1 character."),
        Fault(field="metadata", message="metadata has 17 entries: send at most 16."),
    ]
    marked, others = blamed(fields_of_kind("articles"), faults)
    told = {each.name: each.faults for each in marked if each.faults}
    assert told == {
        "payload.wordCount": ["-1: send 50 or more."],
        "payload.keywords": ["Line 2: too short or empty: send at least 1 character."],
    }
    assert others == ["metadata has 17 entries: send at most 16."]
    deep = Fault(field="payload.resume.basics.email", message='payload.resume.basics.email is "ada": send an address.')
    (marked_resume,) = (each.faults for each in blamed(fields_of_kind("documents"), [deep])[0] if each.faults)
    assert marked_resume == ['basics.email is "ada": send an address.']


def test_a_time_is_of_the_zone_that_the_form_names(unsent: FlaskClient) -> None:
    clock = datetime.now(UTC).replace(microsecond=0)
    form = MultiDict({"payload.prompt": "Bees", "runAt": clock.replace(tzinfo=None).isoformat(), "zone": "Asia/Tokyo"})
    order = order_of("images", read(fields_of_kind("images"), form), ADA, key="")
    assert order.run_at == clock - timedelta(hours=9)


def test_a_form_that_is_sent_twice_is_one_job_and_one_that_was_changed_another(unsent: FlaskClient, database: Any) -> None:
    fields = {"kind": "images", "key": "k", "payload.prompt": "Bees", "payload.size": "256x256"}
    first, again = (send(unsent, "/", **fields) for _ in range(2))
    changed = send(unsent, "/", **{**fields, "payload.prompt": "Wasps"})
    assert first.status_code == 303
    assert first.location == again.location != changed.location
    assert database.jobs.count_documents({}) == 2


def test_what_no_order_can_hold_is_refused_beside_its_field_of_the_form(unsent: FlaskClient, database: Any) -> None:
    deep, long, spoilt = "[" * 100_000, '{"basics": {"n": 1%s}}' % ("0" * 5_000), '{"basics": {"\\u0000": NaN}}'
    for text in ("{", deep, "[" * 500 + "]" * 500, long, spoilt, '{"basics": {"name": "\0"}}'):
        page = send(unsent, "/", kind="documents", **{"payload.resume": text})
        assert page.status_code == 422, text[:30]
        assert 'id="fault-payload-resume"' in page.text
    assert send(unsent, "/", kind="images", **{"payload.prompt": "Be\0es"}).status_code == 422
    assert database.jobs.count_documents({}) == 0


# -- what comes from outside


def test_nothing_that_a_provider_writes_runs_or_loads_in_a_browser() -> None:
    written = (
        "# Hi\n\n<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n[a](javascript:alert(1)) [b](https://example.com)\n\n"
        "![c](https://tracker.example/pixel.png)\n\n`<b>`\n\n| x |\n|---|\n| y |"
    )
    html = as_html(written)
    assert not re.search(r"<(script|img|iframe|svg)|<[^>]* on\w+=|href=.?javascript", html)
    assert 'href="https://example.com"' in html
    assert "<code>&lt;b&gt;</code>" in html
    assert "<td>y</td>" in html


def test_no_page_holds_script_or_style_of_its_own() -> None:
    """The policy of the pages forbids it, so it would do nothing."""
    for template in Path("web/templates").glob("*.html"):
        if template.name != "docs.html":  # which has a policy of its own
            text = template.read_text()
            found = re.search(r'<script(?![^>]*\bsrc=)|<style|\sstyle="|\son\w+="', text)
            assert not found, f"{template}: {found}"


def test_browsers_get_errors_as_pages_and_programs_as_problems(unsent: FlaskClient) -> None:
    page, problem = unsent.get("/jobs/unknown", headers=BROWSER), unsent.get("/jobs/unknown")
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "Nothing is here" in page.text
    assert (problem.status_code, problem.mimetype) == (404, "application/problem+json")
    assert unsent.get("/api/jobs/unknown", headers=BROWSER).mimetype == "application/problem+json"


def test_with_the_database_away_a_page_says_so_and_tries_again(lonely_client: FlaskClient) -> None:
    page = lonely_client.get("/jobs", headers=BROWSER)
    assert page.status_code == 503
    assert "One moment" in page.text
    assert page.headers["Refresh"]


def test_what_a_form_sent_is_sent_again_by_nobody_but_its_user(unsent: FlaskClient) -> None:
    drains().begin("images", by="root")
    page = unsent.post(f"/jobs/{ordered()}/retry", headers=BROWSER)
    assert (page.status_code, "Refresh" in page.headers) == (503, False)  # it would ask by GET for what answers no GET
    assert "Go back" in page.text


def test_files_of_today_are_kept_for_long_and_others_are_not(lonely_client: FlaskClient) -> None:
    todays = lonely_client.get(f"/static/{version_of_today()}/site.css")
    assert "immutable" in todays.headers["Cache-Control"]
    assert lonely_client.get("/static/older/site.css").headers["Cache-Control"] == "no-cache"
    assert lonely_client.get("/static/older/../site.py").status_code == 404


# -- what forms do


def test_all_that_match_are_counted_first_and_cancelled_once_that_is_confirmed(
    signed_in: Callable[..., FlaskClient], environment: Callable[..., None]
) -> None:
    adas, bobs = [ordered("ada") for _ in range(3)], ordered("bob")
    ada = signed_in("ada")
    question = send(ada, "/jobs/all/cancel", kind="images")
    assert "Cancel 3 jobs?" in question.text
    assert {status_of(each) for each in adas} == {Status.QUEUED}
    picked = send(ada, "/jobs/all/cancel", kind="images", job=adas[0], confirmed="1")
    assert "done=1" in picked.location
    done = send(ada, "/jobs/all/cancel", kind="images", confirmed="1")
    assert "done=2" in done.location
    assert {status_of(each) for each in adas} == {Status.CANCELLED}
    assert status_of(bobs) is Status.QUEUED

    environment(USER_ACTIVE_JOBS="2")
    assert "done=2" in send(ada, "/jobs/all/retry", status="cancelled", confirmed="1").location
    send(signed_in("root", Role.OPERATOR), "/jobs/all/retry", status="cancelled", confirmed="1")
    assert {status_of(each) for each in adas} == {Status.QUEUED}
    again = store().get(adas[0])
    assert again is not None
    assert again.history[-1]["by"] == "root"


def test_a_queue_is_paused_with_a_reason_that_the_page_tells(client: FlaskClient, environment: Any) -> None:
    environment(AUTH="keys")
    root, eve = keyed(client, "root", Role.OPERATOR), keyed(client, "eve", Role.VIEWER)
    assert send(root, "/queues/videos/pause", reason=" ").status_code == 422
    assert not pauses().is_paused("videos")
    assert send(root, "/queues/videos/pause", reason="The bill is looked at").status_code == 303
    page = eve.get("/queues").text
    assert "The bill is looked at" in page
    assert "by root" in page
    assert "/queues/videos/resume" not in page  # viewers only look
    assert send(eve, "/queues/videos/resume").status_code == 403
    assert send(root, "/queues/videos/resume").status_code == 303
    assert not pauses().is_paused("videos")


def test_dead_letters_are_dropped_after_a_look_at_what_it_would_do(client: FlaskClient, database: Any) -> None:
    job = fail(database, message="no bees today")
    page = client.get("/dead-letters?whole=1").text
    assert "no bees today" in page
    assert job.id in page
    look = client.get("/dead-letters/drop?kind=articles&code=provider_refused")
    assert "Would be dropped: 1 job" in look.text
    assert len(letters()) == 1
    done = send(client, "/dead-letters/drop", kind="articles", code="provider_refused")
    assert "dropped=1" in done.location
    assert letters() == []
    assert "No dead letters" in client.get("/dead-letters?whole=1").text


def test_the_queues_page_shows_samples_that_are_taken_once_in_half_a_minute(client: FlaskClient, database: Any) -> None:
    ordered()
    for _ in range(3):
        samples().take()
    assert database.samples.count_documents({}) <= 2  # the half minute may have ended
    hour = samples().of_last_hour()["images"]
    assert [each.waiting for each in hour if each.waiting is not None][-1] == 1
    assert "Waiting, over the last hour: at most 1" in client.get("/queues").text


def test_the_page_of_usage_tells_what_of_todays_limit_is_used(signed_in: Callable[..., FlaskClient], environment: Any) -> None:
    environment(PRICES='{"service/*": {"images": 0.5}}', USER_SPENDING_LIMIT="1")
    ada, viewer = signed_in("ada"), signed_in("vic", Role.VIEWER)
    of_ada = store().get(ordered("ada"))
    assert of_ada is not None
    assert "0.00 of 1.00" in ada.get("/usage").text
    for n in (1, 2):
        spending().enter(f"{n}", of_ada, "service", "", {"images": 1})
    page = ada.get("/usage").text
    assert "1.00 of 1.00" in page
    assert "used up" in page
    assert "Your limit" not in viewer.get("/usage").text  # who orders nothing


def test_a_history_tells_each_attempt_how_long_it_took_and_what_came_of_it() -> None:
    def entry(second: int, verb: str, **more: Any) -> dict[str, Any]:
        return {"at": datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC), "verb": verb, "attempt": 1, **more}

    history = [
        entry(0, "submit"),
        entry(1, "claim", worker="w1"),
        entry(5, "retry_later", code="provider_unavailable", seconds=2),
        entry(9, "requeue", by="root"),
        entry(10, "claim", worker="w1"),
        entry(12, "claim", worker="w2"),  # whose lease had run out
        entry(15, "complete"),
    ]
    told = [(moment.title, moment.words, moment.seconds) for moment in timeline(history)]
    assert told == [
        ("Accepted", "", None),
        ("Attempt 1", "on w1", None),
        ("Attempt 1 did not succeed", "provider unavailable · next try after 2 s", 4.0),
        ("Started over", "by root", None),
        ("Attempt 1", "on w1", None),
        ("The worker died; another one goes on", "on w2", None),
        ("Done", "", 5.0),
    ]
