"""What all pages have in common: their blueprint, what their templates may use, and how errors look in a browser."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, g, render_template, request

from settings import settings
from web.crosssite import SAFE_METHODS
from web.identity import User
from web.pages import words
from web.pages.advice import OF_STATES, why_it_waits
from web.pages.static import static_url
from web.pages.subjects import one, subject, took, with_article
from web.problems import ProblemDocument

PROBLEM = "application/problem+json"
HTML = "text/html"
THEMES = "light", "dark"
MACHINES_PATHS = "/api/", "/assets/", "/metrics", "/healthz", "/readyz"

ADVICE = {
    401: "Sign in, and you are taken back here.",
    403: "Ask whoever runs this server for the right, or sign in with another key.",
    404: "It may have been deleted, or belong to somebody else.",
    429: "Wait a moment, then load the page again.",
    503: "Nothing is lost. This page tries again by itself in a few seconds.",
}

AGAIN = "Go back, and do it again in a moment."
ADVICE_ON_FORMS = {403: ADVICE[403], 404: ADVICE[404], 429: AGAIN, 503: AGAIN}

JOB_FILTERS = {
    "one": one,
    "subject": subject,
    "took": took,
    "waits": why_it_waits,
    "with_article": with_article,
}

blueprint = Blueprint("pages", __name__)


def register(app: Flask) -> None:
    """Give the templates what they use, and browsers errors that they can show."""
    app.jinja_env.filters.update(words.FILTERS | JOB_FILTERS)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.context_processor(_context)
    app.after_request(_for_browsers)


def _context() -> dict[str, Any]:
    theme = request.cookies.get("theme")
    return {
        "static_url": static_url,
        "states": OF_STATES,
        "theme": theme if theme in THEMES else None,
        "user": asking(),
        "signs_in": settings().auth != "off",
    }


def asking() -> User | None:
    """Who asks, where that is known: error pages are made for everybody."""
    user: User | None = g.get("user")
    return user


def _for_browsers(response: Response) -> Response:
    """A problem as a page, for whoever prefers one. (`*/*`, as programs send it, does not.)"""
    if response.mimetype != PROBLEM or request.path.startswith(MACHINES_PATHS):
        return response
    if request.accept_mimetypes.best_match([PROBLEM, HTML]) != HTML:
        return response
    problem = ProblemDocument.model_validate_json(response.get_data())
    is_read = request.method in SAFE_METHODS
    advice = ADVICE.get(problem.status, "") if is_read else ADVICE_ON_FORMS.get(problem.status, "")
    response.set_data(render_template("problem.html", problem=problem, advice=advice))
    response.mimetype = HTML
    response.vary.add("Accept")
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE and is_read:  # what a form sends is sent by nobody but its user
        response.headers.setdefault("Refresh", response.headers.get("Retry-After", "5"))
    return response
