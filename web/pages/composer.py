"""`/`: a form for every kind, made from what the API knows of it; and the job that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from jobs.listing import Selection, page
from jobs.media import pictured
from jobs.roles import Role
from queues.catalogue import KINDS
from web.asked import asked_job
from web.identity import current_user, require
from web.ordering import accept
from web.pages.forms import Field, blamed, filled
from web.pages.ordering import document_of, fields_of_kind, order_of, read
from web.pages.site import blueprint
from web.pages.subjects import COME_BY_THEMSELVES, kinds_of_work
from web.problems import Problem, not_found
from web.requestlog import about

RECENT = 6


@blueprint.get("/")
def compose() -> str:
    """The form for `?kind=`, or filled in as the job `?from=` was ordered."""
    wanted = request.args.get("from")
    if wanted is None:
        kind = _kind(request.args.get("kind", kinds_of_work()[0]))
        return _page(kind, fields_of_kind(kind))
    job = asked_job(wanted)
    return _page(_kind(job.kind), filled(fields_of_kind(job.kind), document_of(job)))


@blueprint.post("/")
def order() -> AnyResponse | tuple[str, int]:
    """Submit what is filled in; why it can't be accepted is said beside its field, or above them all."""
    require(Role.USER)
    kind = _kind(request.form.get("kind", ""))
    fields = fields_of_kind(kind)
    written = read(fields, request.form)
    try:
        job = accept(order_of(kind, written, current_user(), key=request.form.get("key", "")))
    except Problem as problem:
        marked, others = blamed(filled(fields, written.document), problem.errors)
        return _page(kind, marked, faults=others if problem.errors else [problem.detail]), problem.status
    about(job.id)
    return redirect(url_for("pages.job", job_id=job.id), 303)


def _kind(name: str) -> str:
    if name not in kinds_of_work():
        raise not_found("such kind of job")
    return name


def _page(kind: str, fields: Sequence[Field], *, faults: Sequence[str] = ()) -> str:
    recent, _ = page(Selection(user_id=current_user().id, without=COME_BY_THEMSELVES), limit=RECENT)
    payload = [each for each in fields if each.name.startswith("payload.")]
    return render_template(
        "composer.html",
        kinds=[KINDS[name] for name in kinds_of_work()],
        kind=KINDS[kind],
        main=[each for each in payload if not each.is_aside],
        aside=sorted((each for each in payload if each.is_aside), key=lambda each: each.form == "check"),
        advanced=[each for each in fields if each not in payload],
        faults=faults,
        is_refused=bool(faults) or any(each.faults for each in fields),
        recent=recent,
        pictures=pictured(recent),
        key=uuid4().hex,
    )
