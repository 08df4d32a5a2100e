"""Who is answered: closed by default, open to keys and to browsers signed in with one; with sign-in off, this machine only."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from jobs.keys import hashed, keys
from jobs.roles import Role
from tests.workers import wait_for
from web import create_app
from web.identity import OPEN

GUARDED = ["/api/jobs", "/api/jobs/x", "/api/jobs/x/result", "/api/jobs/x/media/y", "/api/content/jobs/x", "/api/kinds"]
FREE = ["/healthz", "/openapi.json", "/docs"]
ORDER = {"type": "articles", "payload": {"topic": "Bees"}}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

KeyOf = Callable[..., dict[str, str]]


@pytest.fixture
def local(database: Any) -> Iterator[FlaskClient]:
    """The application with sign-in off. There are no queues: what is ordered is accepted, and waits to be sent."""
    before = logging.getLogger().handlers[:]
    yield create_app().test_client()
    logging.getLogger().handlers[:] = before


@pytest.fixture
def closed(local: FlaskClient, environment: Any) -> FlaskClient:
    """The application as it is by default."""
    environment(AUTH=None)
    return local


@pytest.fixture
def key_of(closed: FlaskClient) -> KeyOf:
    """The headers of somebody with a new key."""
    return lambda user_id, role=Role.USER: {"Authorization": f"Bearer {keys().create(user_id, role)[1]}"}


def sign_in(client: FlaskClient, key: str, **fields: str) -> TestResponse:
    page = client.get("/sign-in", headers=BROWSER).text
    return client.post("/sign-in", data={"key": key, "csrf_token": token_in(page), **fields}, headers=BROWSER)


def token_in(page: str) -> str:
    found = re.search(r'name="csrf_token" value="(\w+)"', page)
    assert found
    return found[1]


# -- without a key


@pytest.mark.parametrize("path", GUARDED)
def test_without_a_key_nobody_is_answered_and_is_told_how(lonely_client: FlaskClient, environment: Any, path: str) -> None:
    environment(AUTH=None)
    answer = lonely_client.get(path)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert "keys create" in answer.get_json()["detail"]
    assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize("path", ["/api/jobs", "/api/content/generate", "/api/media/generate"])
def test_without_a_key_nothing_is_ordered(closed: FlaskClient, database: Any, path: str) -> None:
    assert closed.post(path, json={"topic": "Bees"}).status_code == 401
    assert database.jobs.count_documents({}) == 0


@pytest.mark.parametrize("path", FREE)
def test_what_is_open_needs_no_user(lonely_client: FlaskClient, environment: Any, path: str) -> None:
    environment(AUTH=None)
    assert lonely_client.get(path, environ_base={"REMOTE_ADDR": "10.0.0.7"}).status_code == 200


def test_only_health_description_sign_in_and_the_pages_style_are_open() -> None:
    assert {"health", "openapi", "docs", "sessions", "static"} == OPEN


def test_the_description_asks_for_a_key_where_one_is_needed(lonely_client: FlaskClient, environment: Any) -> None:
    with_sign_in_off = lonely_client.get("/openapi.json").get_json()
    environment(AUTH=None)
    told = lonely_client.get("/openapi.json").get_json()
    assert "securitySchemes" not in with_sign_in_off["components"]
    assert told["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert told["paths"]["/api/jobs"]["get"]["security"] == [{"key": []}]
    assert "Bearer $KEY" in told["paths"]["/api/jobs"]["get"]["x-codeSamples"][0]["source"]
    assert "security" not in told["paths"]["/healthz"]["get"]


# -- keys and roles


def test_a_key_answers_for_its_user_and_only_its_hash_is_kept(closed: FlaskClient, database: Any) -> None:
    key, secret = keys().create("ada", Role.USER, "laptop")
    job = closed.post("/api/jobs", json=ORDER, headers={"X-API-Key": secret})
    assert job.status_code == 202
    assert database.jobs.find_one({"_id": job.get_json()["jobId"]})["user_id"] == "ada"
    assert closed.get("/api/jobs", headers={"Authorization": f"bearer {secret}"}).status_code == 200
    kept = database.keys.find_one({"_id": key.id})
    assert secret not in str(kept)
    assert (kept["hash"], kept["last_used_at"] is not None) == (hashed(secret), True)


@pytest.mark.parametrize("secret", ["pr_nobody's", "", "nobody's", "pr_ä"])
def test_a_key_that_is_none_is_refused(closed: FlaskClient, secret: str) -> None:
    assert closed.get("/api/jobs", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_a_revoked_key_and_its_sessions_end_within_seconds(closed: FlaskClient) -> None:
    key, secret = keys().create("ada", Role.USER)
    assert sign_in(closed, secret).status_code == 303
    by_key = {"Authorization": f"Bearer {secret}"}
    assert [closed.get("/api/jobs", headers=headers).status_code for headers in (by_key, {})] == [200, 200]
    keys().revoke(key.id)
    for headers in (by_key, {}):
        wait_for(lambda headers=headers: closed.get("/api/jobs", headers=headers).status_code == 401, "the key to end")


def test_what_users_order_others_do_not_see_and_viewers_see_and_can_not_touch(closed: FlaskClient, key_of: KeyOf) -> None:
    ada, bob, viewer = key_of("ada"), key_of("bob"), key_of("vic", Role.VIEWER)
    path = f"/api/jobs/{closed.post('/api/jobs', json=ORDER, headers=ada).get_json()['jobId']}"
    assert [closed.get(path, headers=who).status_code for who in (ada, bob, viewer)] == [200, 404, 200]
    assert [closed.post(f"{path}/cancel", headers=who).status_code for who in (bob, viewer)] == [404, 403]
    refused = closed.post("/api/jobs", json=ORDER, headers=viewer)
    assert (refused.status_code, "role viewer" in refused.get_json()["detail"]) == (403, True)


def test_what_concerns_all_users_takes_a_viewers_or_an_operators_key(closed: FlaskClient, key_of: KeyOf) -> None:
    holders = [key_of("ada"), key_of("vic", Role.VIEWER), key_of("otto", Role.OPERATOR)]
    assert [closed.get("/metrics", headers=holder).status_code for holder in holders] == [403, 200, 200]
    held = [closed.post("/api/queues/videos/pause", json={"reason": "budget"}, headers=holder) for holder in holders]
    assert [answer.status_code for answer in held] == [403, 403, 200]


def test_a_user_who_asks_too_often_is_told_when_he_may_again(closed: FlaskClient, key_of: KeyOf, environment: Any) -> None:
    environment(USER_RATE_LIMIT="2/minute")
    ada, bob = key_of("ada"), key_of("bob")
    answers = [closed.get("/api/kinds", headers=ada) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[2].headers["Retry-After"]) <= 60
    assert closed.get("/api/kinds", headers=bob).status_code == 200


# -- browsers


def test_a_browser_is_led_to_sign_in_and_back(closed: FlaskClient) -> None:
    led = closed.get("/jobs?status=failed", headers=BROWSER)
    assert (led.status_code, led.headers["Location"]) == (302, "/sign-in?next=/jobs?status%3Dfailed")
    assert closed.get("/jobs", headers={"Accept": "*/*"}).status_code == 401
    asked = closed.get(led.headers["Location"], headers=BROWSER)
    back = re.search(r'name="next" value="([^"]+)"', asked.text)
    assert back
    done = sign_in(closed, keys().create("ada", Role.USER)[1], next=back[1])
    assert (done.status_code, done.headers["Location"]) == (303, "/jobs?status=failed")
    assert closed.get("/jobs", headers=BROWSER).status_code == 200
    assert closed.get("/sign-in", headers=BROWSER).headers["Location"] == "/"


def test_a_session_is_a_cookie_no_script_and_no_other_site_has_and_only_its_hash_is_kept(
    closed: FlaskClient, database: Any, environment: Any
) -> None:
    cookie = sign_in(closed, keys().create("ada", Role.USER)[1]).headers.getlist("Set-Cookie")[0]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {*cookie.split("; ")}
    assert "Secure" not in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    assert [session["_id"] for session in database.sessions.find()] == [hashed(token)]
    environment(PUBLIC_URL="https://press.example")
    another = closed.application.test_client()
    assert "Secure" in sign_in(another, keys().create("ada", Role.USER)[1]).headers.getlist("Set-Cookie")[0]


def test_what_a_session_changes_needs_the_pages_token(closed: FlaskClient) -> None:
    sign_in(closed, keys().create("ada", Role.USER)[1])
    token = token_in(closed.get("/", headers=BROWSER).text)
    answers = [closed.post("/api/jobs", json=ORDER, headers={"X-CSRF-Token": sent}) for sent in ("", "other", token)]
    assert [answer.status_code for answer in answers] == [403, 403, 202]
    assert closed.post("/sign-out").status_code == 403
    assert closed.post("/sign-out", data={"csrf_token": token}).headers["Location"] == "/sign-in"
    assert closed.get("/api/jobs").status_code == 401


def test_a_session_that_nobody_used_for_long_is_over(closed: FlaskClient, database: Any) -> None:
    sign_in(closed, keys().create("ada", Role.USER)[1])
    database.sessions.update_many({}, {"$set": {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}})
    assert closed.get("/api/jobs").status_code == 401


def test_who_tries_too_many_keys_has_to_wait_whatever_he_tries(closed: FlaskClient) -> None:
    statuses = [sign_in(closed, f"pr_{n}").status_code for n in range(10)]
    last = sign_in(closed, keys().create("ada", Role.USER)[1])
    assert (statuses, last.status_code) == ([401] * 10, 429)
    assert int(last.headers["Retry-After"]) > 0
    assert "Try again in" in last.text


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "jobs", "/a\nb", "/\t/evil.example"]
)
def test_signing_in_leads_to_no_other_site(closed: FlaskClient, path: str) -> None:
    assert sign_in(closed, keys().create("ada", Role.USER)[1], next=path).headers["Location"] == "/"


def test_a_page_loads_nothing_from_elsewhere_but_media_from_the_bucket(closed: FlaskClient, environment: Any) -> None:
    policy = closed.get("/sign-in", headers=BROWSER).headers["Content-Security-Policy"]
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "img-src 'self' data:"} <= {
        *policy.split("; ")
    }
    environment(MEDIA_BUCKET="pictures", AWS_ENDPOINT_URL="http://127.0.0.1:9", AUTH=None)
    policy = closed.get("/sign-in", headers=BROWSER).headers["Content-Security-Policy"]
    assert re.search(r"img-src 'self' http://[\w.]*127\.0\.0\.1:9 data:; media-src 'self' http://[\w.]*127\.0\.0\.1:9;", policy)


# -- sign-in off


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.2", "::ffff:10.0.0.7", "2001:db8::1", ""])
def test_with_sign_in_off_other_machines_are_not_answered(lonely_client: FlaskClient, peer: str) -> None:
    assert lonely_client.get("/api/kinds", environ_base={"REMOTE_ADDR": peer}).status_code == 403


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.example", "localhost.example:8000", "[2001:db8::1]:8000"])
def test_with_sign_in_off_a_page_that_names_us_otherwise_is_not_answered(lonely_client: FlaskClient, host: str) -> None:
    assert lonely_client.get("/api/kinds", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "[::1]"])
def test_with_sign_in_off_this_machine_is_answered_by_any_of_its_names(lonely_client: FlaskClient, host: str) -> None:
    for peer in ("127.0.0.1", "::1"):
        answer = lonely_client.get("/api/kinds", headers={"Host": host}, environ_base={"REMOTE_ADDR": peer})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
def test_what_another_site_sends_is_refused_also_with_sign_in_off(local: FlaskClient, headers: dict[str, str]) -> None:
    assert local.post("/api/jobs", json=ORDER, headers=headers).status_code == 403
    assert local.get("/api/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}])
def test_our_own_pages_and_programs_are_answered_with_sign_in_off(local: FlaskClient, headers: dict[str, str]) -> None:
    assert local.post("/api/jobs", json=ORDER, headers=headers).status_code == 202


def test_a_pages_form_needs_its_token_also_with_sign_in_off(local: FlaskClient) -> None:
    assert local.post("/queues/videos/pause", data={"reason": "budget"}).status_code == 403
    assert local.post("/api/content/generate", data={"topic": "Bees"}).status_code == 415


# -- behind a proxy


def test_behind_a_proxy_who_tries_too_many_keys_stops_nobody_else(closed: FlaskClient, environment: Any) -> None:
    environment(TRUSTED_PROXIES="1", AUTH=None)
    proxied = create_app().test_client()

    def sign_in_from(address: str, key: str) -> int:
        proxied.environ_base["HTTP_X_FORWARDED_FOR"] = f"198.51.100.9, {address}"  # the first is what the client said itself
        return sign_in(proxied, key).status_code

    assert [sign_in_from("203.0.113.1", f"pr_{n}") for n in range(10)] == [401] * 10
    key = keys().create("ada", Role.USER)[1]
    assert [sign_in_from(address, key) for address in ("203.0.113.1", "203.0.113.2")] == [429, 303]


def test_what_comes_encrypted_by_a_proxy_is_kept_so(closed: FlaskClient, environment: Any) -> None:
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.1"}
    assert "Strict-Transport-Security" not in closed.get("/sign-in", headers=BROWSER | said).headers
    environment(TRUSTED_PROXIES="1", AUTH=None)
    answer = create_app().test_client().get("/sign-in", headers=BROWSER | said)
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    assert "Secure" in answer.headers["Set-Cookie"]


def test_with_sign_in_off_a_proxys_clients_are_not_answered(closed: FlaskClient, environment: Any) -> None:
    environment(TRUSTED_PROXIES="1", AUTH="off")
    proxied = create_app().test_client()
    assert proxied.get("/api/kinds", headers={"X-Forwarded-For": "203.0.113.1"}).status_code == 403
    assert proxied.get("/api/kinds", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
