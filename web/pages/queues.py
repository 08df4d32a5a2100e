"""`/queues`: how deep and how fast each is, who paused it and why, and which providers are down."""

from __future__ import annotations

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from jobs.draining import drains
from jobs.outages import outages
from jobs.pauses import pauses
from jobs.roles import Role
from jobs.samples import samples
from queues.catalogue import KINDS
from web.body import refused
from web.identity import current_user, require
from web.pages.charts import Chart
from web.pages.site import blueprint
from web.problems import Fault, not_found
from web.queues import look_again, overviews

MOST_REASON_CHARACTERS = 300


@blueprint.get("/queues")
def queues() -> str:
    """Every kind's queues, and the last hour of each."""
    require(Role.VIEWER)
    kept = samples()
    kept.take()
    hour = kept.of_last_hour()
    return render_template(
        "queues.html",
        queues=[
            (
                each,
                KINDS[each.kind],
                Chart.of([point.waiting for point in hour[each.kind]], "Waiting"),
                Chart.of([point.completed_per_minute for point in hour[each.kind]], "Done per minute"),
            )
            for each in overviews()
        ],
        outages=sorted(outages().known().values(), key=lambda each: each.provider),
        may_operate=current_user().may_operate,
        most_reason=MOST_REASON_CHARACTERS,
    )


@blueprint.post("/queues/<kind>/pause")
def pause(kind: str) -> AnyResponse:
    """Receive nothing from it until somebody resumes it."""
    require(Role.OPERATOR)
    reason = " ".join(request.form.get("reason", "").split())[:MOST_REASON_CHARACTERS]
    if not reason:
        raise refused([Fault(field="reason", message="reason is missing: say why, for those who wonder.")])
    pauses().pause(_kind(kind), reason, current_user().id)
    look_again()
    return redirect(url_for("pages.queues", _anchor=kind), 303)


@blueprint.post("/queues/<kind>/resume")
def resume(kind: str) -> AnyResponse:
    """Receive from it again; one that was emptied takes new jobs again."""
    require(Role.OPERATOR)
    pauses().resume(_kind(kind), current_user().id)
    drains().end(kind, current_user().id)
    look_again()
    return redirect(url_for("pages.queues", _anchor=kind), 303)


def _kind(name: str) -> str:
    if name not in KINDS:
        raise not_found("such queue")
    return name
