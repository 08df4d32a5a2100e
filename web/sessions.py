"""Signing in to the pages with a key, and out."""

from __future__ import annotations

import re

import structlog
from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from jobs.keys import keys
from jobs.sessions import sessions
from settings import settings
from web.crosssite import SESSION_COOKIE, keep_cookie, refuse_foreign
from web.problems import Problem
from web.rates import ask_sign_in, sign_in_failed

KEPT_SECONDS = 30 * 86_400
"""Of the cookie. When the session ends, MongoDB says."""
UNKNOWN_KEY = "There is no such key, or it was revoked. Keys begin with pr_."

log = structlog.get_logger("web")

blueprint = Blueprint("sessions", __name__)


@blueprint.get("/sign-in")
def show() -> AnyResponse:
    token = request.cookies.get(SESSION_COOKIE)
    if settings().auth == "off" or (token and sessions().key_of(token)):
        return redirect(_next(request.args.get("next")))
    return _page()


@blueprint.post("/sign-in")
def begin() -> AnyResponse:
    refuse_foreign(signed_by_cookie=False)
    address = request.remote_addr or ""
    try:
        ask_sign_in(address)
    except Problem as problem:
        refused = _page(problem.detail, problem.status)
        refused.headers.update(problem.headers)
        return refused
    key = keys().of(request.form.get("key", "").strip())
    if key is None:
        sign_in_failed(address)
        log.warning("sign-in refused", address=address)
        return _page(UNKNOWN_KEY, 401)
    if old := request.cookies.get(SESSION_COOKIE):
        sessions().end(old)
    log.info("signed in", user_id=key.user_id, role=key.role, key=key.id)
    response = redirect(_next(request.form.get("next")), 303)
    keep_cookie(response, SESSION_COOKIE, sessions().begin(key), max_age=KEPT_SECONDS)
    return response


@blueprint.post("/sign-out")
def end() -> AnyResponse:
    refuse_foreign(signed_by_cookie=True)
    if token := request.cookies.get(SESSION_COOKIE):
        sessions().end(token)
    response = redirect("/sign-in", 303)
    response.delete_cookie(SESSION_COOKIE)
    return response


def _page(fault: str = "", status: int = 200) -> Response:
    following = _next(request.values.get("next"))
    return make_response(render_template("sign_in.html", fault=fault, next=following), status)


def _next(sent: str | None) -> str:
    """Where to go after signing in: a path of ours, whatever was sent."""
    path = sent or "/"
    # browsers take a backslash for a slash, and leave line ends out: `/\example.org` would lead away
    return path if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", path) else "/"
