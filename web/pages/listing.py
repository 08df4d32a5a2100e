"""`/jobs`: the list, filtered and paged; and what is done to all that a filter shows, once its number was confirmed."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from jobs.bulk import COUNTED, MOST, Meant, Verb
from jobs.cursor import BadCursor
from jobs.document import Job
from jobs.life import Status
from jobs.listing import NothingToFind, Selection, page
from jobs.media import pictured
from jobs.pauses import pauses
from jobs.roles import Role
from queues.catalogue import KINDS
from web.body import refused
from web.identity import current_user, require
from web.pages.advice import OF_STATES
from web.pages.site import blueprint
from web.pages.subjects import COME_BY_THEMSELVES, kinds_of_work
from web.pages.timeline import ENDS_OF_PARK
from web.problems import Fault, not_found

JOBS_A_PAGE = 25
MOST_PICKED = 100
FILTERS = ("kind", "status", "q")


@blueprint.get("/jobs")
def jobs() -> str:
    """A page of the list. The page's script asks for it again when a job changes."""
    fault, following, asked = "", None, _asked(request.args)
    found: list[Job] = []
    try:
        found, following = page(_selection(request.args), cursor=request.args.get("cursor") or None, limit=JOBS_A_PAGE)
    except NothingToFind:
        fault = "Search for words of the title, topic or prompt, or for the beginning of an id."
    except BadCursor:
        raise refused([Fault(field="cursor", message="cursor can't be read: go back to the first page.")]) from None
    return render_template(
        "jobs.html",
        jobs=found,
        pictures=pictured(found),
        parked=ENDS_OF_PARK,
        paused=pauses().known(),
        following=following,
        fault=fault,
        asked=asked,
        is_first="cursor" not in request.args,
        kinds=[name for name in KINDS if name in kinds_of_work() or current_user().sees_all],
        states=OF_STATES,
        done=request.args.get("done", type=int),
        verb=request.args.get("verb"),
        may_change=current_user().may_submit,
        verbs=[verb for verb in Verb if not asked.get("status") or asked["status"] in verb.sources],
    )


@blueprint.post("/jobs/all/<verb>")
def act_on_all(verb: str) -> AnyResponse | str:
    """How many it would be; and, with their number confirmed, do it."""
    require(Role.USER)
    if verb not in [*Verb]:
        raise not_found("such thing to do with jobs")
    picked = tuple(request.form.getlist("job")[:MOST_PICKED])
    meant = Meant(_selection(request.form, changing=True), Verb(verb), picked)
    try:
        count = meant.count()
        if not request.form.get("confirmed"):
            return render_template(
                "jobs_confirm.html",
                verb=verb,
                count=count,
                most=MOST,
                counted_to=COUNTED,
                picked=picked,
                asked=_asked(request.form),
                states=OF_STATES,
            )
        done = meant.act(by=current_user().id)
    except NothingToFind as error:
        raise refused([Fault(field="q", message=f"q: {error}")]) from None
    return redirect(url_for("pages.jobs", done=done, verb=verb, **_asked(request.form)), 303)


def _selection(source: Any, *, changing: bool = False) -> Selection:
    """What is filtered for; where something is to be changed, only what the user may change."""
    asked, user = _asked(source), current_user()
    kind, status = asked.get("kind"), asked.get("status")
    if kind and kind not in KINDS:
        raise not_found("such kind of job")
    if status and status not in [*Status]:
        raise not_found("such state of jobs")
    owner = (None if user.may_operate else user.id) if changing else user.sees
    without = () if asked else COME_BY_THEMSELVES
    return Selection(user_id=owner, kind=kind, without=without, status=Status(status) if status else None, text=asked.get("q"))


def _asked(source: Any) -> dict[str, Any]:
    """The filter as it was sent, without what is empty."""
    return {name: value for name in FILTERS if (value := source.get(name, "").strip())}
