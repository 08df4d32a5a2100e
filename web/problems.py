"""Errors as RFC 9457 problems: what every refusal of this API looks like.

A view raises `Problem`, or lets an error of the layers below through; `register` turns either into `application/problem+json`.
No traceback reaches a user: what we did not foresee is logged with its traceback and answered in plain words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Literal

import structlog
from flask import Flask, Response, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import HTTPException

from jobs.database import DatabaseUnavailable
from jobs.draining import QueueDraining
from jobs.files import StorageUnavailable
from queues.clients import QueueError

RETRY_AFTER_SECONDS = 5
DRAINED_RETRY_AFTER_SECONDS = 60
"""Whoever empties a queue has something in mind that takes minutes."""
DOCUMENTS_PATHS = "/api/content/", "/api/media/", "/assets/"
"""Paths whose answers carry `success` besides."""

log = structlog.get_logger("web")

IN_PLAIN_WORDS = {
    404: "There is nothing at {path}. What there is stands at /docs.",
    405: "{method} is not possible at {path}; the header Allow names what is.",
    413: "The body is larger than 1 MiB. Send a smaller one.",
    416: "The file ends before the range that was asked for; the header Content-Range has its size.",
}


class Fault(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(description="The field as it was sent, as in `payload.wordCount` or `topics[3]`.")
    message: str = Field(description="What is wrong with it, and the remedy.")


def _is_none(value: object) -> bool:
    return value is None


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(default="about:blank", description="`about:blank`: the status says it all.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened, and what to do.")
    errors: list[Fault] | None = Field(
        default=None, exclude_if=_is_none, description="The fields at fault, if it was the fields."
    )
    success: Literal[False] | None = Field(
        default=None, exclude_if=_is_none, description="On `/api/content`, `/api/media` and `/assets` only."
    )


class Problem(Exception):
    """A request that can't be served, and why; raised by views, answered as a problem document."""

    def __init__(
        self, status: int, detail: str, *, errors: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def document(self) -> ProblemDocument:
        """The problem as it is told in the answer to the request at hand."""
        return ProblemDocument(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            errors=self.errors or None,
            success=False if request.path.startswith(DOCUMENTS_PATHS) else None,
        )

    def response(self) -> Response:
        """The answer to the request at hand."""
        body = self.document().model_dump_json()
        return Response(body, self.status, self.headers, mimetype="application/problem+json")


def register(app: Flask) -> None:
    """Answer every error of `app` with a problem."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DatabaseUnavailable, _database_away)
    app.register_error_handler(StorageUnavailable, _storage_away)
    app.register_error_handler(QueueDraining, _queue_draining)
    app.register_error_handler(QueueError, _queue_away)
    app.register_error_handler(Exception, _unforeseen)


def not_found(what: str) -> Problem:
    """There is no such thing, or it is another user's: which of the two is not said."""
    return Problem(404, f"There is no {what}.")


def _http(error: HTTPException) -> Response | HTTPException:
    if error.code is None or error.code < 400:
        return error  # a redirect
    words = IN_PLAIN_WORDS.get(error.code, error.description or "")
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return Problem(error.code, words.format(path=request.path, method=request.method), headers=headers).response()


def _database_away(error: DatabaseUnavailable) -> Response:
    log.warning("database unavailable", reason=str(error))
    detail = "The database can't be reached just now, so this was not done. Try again in a few seconds."
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}).response()


def _storage_away(error: StorageUnavailable) -> Response:
    log.warning("storage unavailable", reason=str(error))
    detail = "The store of images and videos can't be reached just now. Try again in a few seconds."
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}).response()


def draining(error: QueueDraining) -> Problem:
    """The queue takes no new jobs just now."""
    return Problem(503, str(error), headers={"Retry-After": str(DRAINED_RETRY_AFTER_SECONDS)})


def _queue_draining(error: QueueDraining) -> Response:
    return draining(error).response()


def _queue_away(error: QueueError) -> Response:
    log.warning("queue unavailable", reason=str(error))
    detail = "SQS can't be asked just now; what had been done until then is done. Try again in a few seconds."
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}).response()


def _unforeseen(error: Exception) -> Response:
    log.exception("request failed", error=type(error).__name__)
    return Problem(500, "Something went wrong on our side. It was logged; the header X-Request-Id names the entry.").response()
