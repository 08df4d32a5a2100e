"""Server-sent events: one job with its text, or all jobs that the user may see, as they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from socket import socket
from time import monotonic

from flask import Blueprint, Response, copy_current_request_context, request
from pydantic import ConfigDict, Field, TypeAdapter

from jobs.document import Job
from jobs.forecast import forecasts
from jobs.texts import MARK, Piece, known_by, lacking, mark
from web.asked import asked_job
from web.body import read_query
from web.identity import current_user, still_let_in
from web.jobs import KindName
from web.live import TooManyOfUser, TooManyStreams, live
from web.operations import Operation, Reply, describe
from web.problems import Problem
from web.render import JobShape, Shape, base_url
from web.watches import JobWatch, ListWatch, Told, Watch

EVENT_STREAM = "text/event-stream"
COMMENT_SECONDS = 15
"""A sign of life, so that proxies keep the connection and a lost one is noticed."""
LONGEST_SECONDS = 3600
"""Then the stream ends, and who comes back signs in anew."""
RECONNECT_MILLISECONDS = 2_000
WRITE_SECONDS = 30
"""A client that takes nothing for so long is given up."""
RETRY_AFTER_SECONDS = 10
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx: pass every piece on at once

PIECE = TypeAdapter(Piece)

blueprint = Blueprint("events", __name__)


class JobEventsQuery(Shape):
    """Where to go on."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(
        default="0",
        pattern=f"^{MARK}$",
        description="A number: so much of the text you have already, in UTF-16 code units, as JavaScript counts. "
        "(With the checksum that event ids hold, as in `120.1c291ca3`, another text is noticed.)",
    )


class JobsEventsQuery(Shape):
    """Which jobs."""

    model_config = ConfigDict(extra="forbid")

    type: KindName | None = Field(default=None, description="Only jobs of this kind.")


@blueprint.get("/api/jobs/<job_id>/events")
@describe(
    Operation(
        section="Jobs",
        summary="Watch a job",
        detail="Server-sent events. `event: job` has the job as `data` and `{jobId}:{version}` as `id`: first as it is, then "
        "after each change. `event: text` has a piece of the article that is being written, `{offset, text}`: cut what you "
        "have off at `offset` (a text that was started over begins lower), and put `text` there. After the job's end the "
        "stream ends. Who comes back with the header `Last-Event-ID`, as browsers do, gets the job as it is and the text he "
        "lacks. A line that begins with `:` comes every 15 seconds. 429 with too many streams open.",
        query=JobEventsQuery,
        problems=(429,),
        replies={
            200: Reply(what="The events.", other_types=(EVENT_STREAM,)),
            204: Reply(what="You have been told the job's end, so nothing follows: browsers don't ask again."),
        },
    )
)
def of_job(job_id: str) -> Response:
    query = read_query(JobEventsQuery)
    job = asked_job(job_id)
    version, known_mark = _last_told(job_id)
    if job.status.is_final and version == str(job.version):
        return Response(status=204)
    watch = JobWatch(job_id=job_id, wants_text=True, by=current_user().counted_as, client=_client())
    return _stream(watch, _JobNews(watch, known_mark or query.text))


@blueprint.get("/api/events")
@describe(
    Operation(
        section="Jobs",
        summary="Watch all jobs",
        detail="Server-sent events: `event: job` for each of your jobs that changes or is new (an operator's: everybody's), as "
        "`GET /api/jobs/{jobId}/events` has them. `event: resync` comes first, and whenever changes may have been missed: "
        "fetch the list again. 429 with too many streams open.",
        query=JobsEventsQuery,
        problems=(429,),
        replies={200: Reply(what="The events.", other_types=(EVENT_STREAM,))},
    )
)
def of_jobs() -> Response:
    query = read_query(JobsEventsQuery)
    watch = ListWatch(user_id=current_user().sees, kind=query.type, by=current_user().counted_as, client=_client())
    return _stream(watch, partial(_list_news, watch))


def _stream(watch: Watch, news: Callable[[], Iterator[str]]) -> Response:
    """The response that sends what `news` has, each time that it has some.

    Raises:
        Problem: too many are.
    """
    if watch.client is not None:
        watch.client.settimeout(WRITE_SECONDS)
    here = live()
    try:
        here.open(watch)
    except TooManyStreams as error:
        status = 429 if isinstance(error, TooManyOfUser) else 503
        raise Problem(status, str(error), headers={"Retry-After": str(RETRY_AFTER_SECONDS)}) from None
    tell = copy_current_request_context(lambda: "".join(news()))  # links in jobs begin as the client reaches us
    response = Response(_events(watch, tell, still_let_in()), mimetype=EVENT_STREAM, headers=HEADERS)
    response.call_on_close(partial(here.close, watch))
    return response


def _events(watch: Watch, tell: Callable[[], str], is_let_in: Callable[[], bool]) -> Iterator[str]:
    """What there is to `tell` whenever the watch is woken, until it is over; a comment where nothing came for long.

    Who is not let in any more, because his key was revoked, is told nothing more.
    """
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    ends_at = monotonic() + LONGEST_SECONDS
    is_over = False
    while not is_over and monotonic() < ends_at:
        woken = watch.wait(COMMENT_SECONDS)
        is_over = watch.is_over  # asked before the news: what was told before the end is sent
        if not is_let_in():
            return
        if not woken:
            yield ": nothing new\n\n"
        elif told := tell():
            yield told


class _JobNews:
    """What a stream of one job has not sent yet."""

    def __init__(self, watch: JobWatch, known_mark: str) -> None:
        self._watch = watch
        self._version = 0
        self._known_mark = known_mark
        self._known: str | None = None

    def __call__(self) -> Iterator[str]:
        told, text = self._watch.told, self._watch.text
        if told is None or text is None:
            return
        job = told.job
        is_new = job.version > self._version
        self._version = max(job.version, self._version)
        event_id = f"{job.id}:{self._version}"
        if is_new and not job.status.is_final:
            yield _job_event(told, _with_place)
        yield from self._text(text, event_id, is_new)
        if is_new and job.status.is_final:  # after all of its text
            yield _job_event(told, _with_place)
            self._watch.end()

    def _text(self, text: str, event_id: str, is_new: bool) -> Iterator[str]:
        if self._known is None:
            self._known = known_by(self._known_mark, text)
        if piece := lacking(text, self._known):
            yield _event("text", PIECE.dump_json(piece).decode(), f"{event_id}:{mark(text)}")
            self._known = text
        elif self._known and is_new:
            yield f"id: {event_id}:{mark(self._known)}\n\n"  # no event, only what Last-Event-ID will be


def _list_news(watch: ListWatch) -> Iterator[str]:
    has_missed, changed = watch.take()
    if has_missed:
        yield _event("resync", "{}")
    for told in changed:
        yield _job_event(told, JobShape.of)


def _with_place(job: Job) -> JobShape:
    return JobShape.of(job, forecasts().of(job))


def _job_event(told: Told, shape: Callable[[Job], JobShape]) -> str:
    address = base_url()
    data = told.written((address, shape), lambda job: shape(job).model_dump_json(by_alias=True))
    return _event("job", data, f"{told.job.id}:{told.job.version}")


def _event(name: str, data: str, event_id: str | None = None) -> str:
    named = f"id: {event_id}\n" if event_id else ""
    return f"event: {name}\n{named}data: {data}\n\n"


def _last_told(job_id: str) -> tuple[str, str]:
    """The job's version and the mark of its text that the client had when its connection ended; empty: it doesn't say."""
    of_job, _, told = request.headers.get("Last-Event-ID", "").partition(":")
    version, _, known_mark = told.partition(":")
    return (version, known_mark) if of_job == job_id else ("", "")


def _client() -> socket | None:
    found = request.environ.get("gunicorn.socket")
    return found if isinstance(found, socket) else None
