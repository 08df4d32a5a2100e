"""The web process: the API and its documentation. `flask --app web …` and gunicorn's `web:create_app()` start here."""

from __future__ import annotations

import sys

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from monitoring.logs import configure_logging
from settings import SettingsError, settings
from web import (
    analytics,
    assets,
    batch,
    content,
    crosssite,
    dead_letters,
    docs,
    events,
    health,
    identity,
    inside,
    jobs,
    kinds,
    media,
    metrics,
    openapi,
    pages,
    problems,
    queues,
    requestlog,
    results,
    resumes,
    security,
    sessions,
    thumbnails,
    usage,
    webhooks,
)
from web.body import MOST_BODY_BYTES
from web.tracing import trace_requests

UNUSABLE_SETTINGS = 3
"""The exit status that gunicorn takes for "don't start me again"."""


def create_app() -> Flask:
    """The application. With settings that can't be used the process ends, and says which."""
    _check_settings()
    configure_logging()
    app = Flask(__name__, static_folder=None)
    _trust_proxies(app)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY_BYTES + 1  # the one more tells that a body was cut off
    requestlog.register(app)
    trace_requests(app)
    identity.register(app)
    crosssite.register(app)
    problems.register(app)
    security.register(app)
    for concept in (
        content,
        media,
        assets,
        resumes,
        jobs,
        batch,
        results,
        thumbnails,
        events,
        analytics,
        queues,
        dead_letters,
        kinds,
        health,
        metrics,
        openapi,
        usage,
        webhooks,
        sessions,
        docs,
    ):
        app.register_blueprint(concept.blueprint)
    pages.register(app)
    inside.start_if_wanted()
    return app


def _trust_proxies(app: Flask) -> None:
    """Have a request's address and scheme from the proxies that stand before us, and from nobody else."""
    if hops := settings().trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]


def _check_settings() -> None:
    try:
        settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(UNUSABLE_SETTINGS) from None
