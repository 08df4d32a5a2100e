"""`/jobs/{id}`: what a job is at, why it waits, what it made; and its user's verbs."""

from __future__ import annotations

from collections.abc import Sequence

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from jobs.content import article
from jobs.document import Job
from jobs.forecast import forecasts
from jobs.life import TRANSITIONS, Status
from jobs.media import media_of, pictured
from jobs.outages import outages
from jobs.pauses import pauses
from jobs.store import store
from jobs.texts import text_so_far
from settings import settings
from web import acting
from web.asked import asked_job
from web.identity import User, current_user
from web.pages.advice import heading, next_try, what_to_do, why_it_waits
from web.pages.markdown import as_html
from web.pages.site import blueprint
from web.pages.subjects import details, kinds_of_work, subject
from web.pages.timeline import timeline
from web.pages.usage import used
from web.pages.words import seconds_between

WRITTEN = "articles"
"""The kind whose text is seen growing."""
TAKEN = range(200, 300)
"""What a webhook's receiver answers when it has understood."""
FOLLOWED_SECONDS = 600
"""So long after a job's end its page looks whether its webhook was taken."""


@blueprint.get("/jobs/<job_id>")
def job(job_id: str) -> str:
    """The job as it is. The page's script asks for it again when it changes."""
    found = asked_job(job_id)
    made = article(found) if found.status is Status.COMPLETED else None
    text = text_so_far(found) if found.kind == WRITTEN and not found.status.is_final else ""
    related = [each for each in map(store().get, found.related_jobs) if each is not None and _may_see(each)]
    holding = pauses().known().get(found.kind), outages().known().get(found.provider or settings().provider_name)
    return render_template(
        "job.html",
        job=found,
        subject=subject(found),
        details=details(found.payload),
        article=made,
        article_html=as_html(_below_title(made["content"])) if made else "",
        text_html=as_html(_below_title(text)) if text else "",
        media=media_of(found),
        pictures=pictured([found, *related]),
        heading=heading(found, holding[0]),
        waits=why_it_waits(found, *holding),
        next_try=next_try(found, *holding),
        remedy=what_to_do(found.error["code"]) if found.error else "",
        forecast=forecasts().of(found),
        moments=timeline(found.history, is_cancelled=found.status is Status.CANCELLED),
        usage=used(found.usage),
        result=[(name, value) for name, value in (found.result or {}).items() if isinstance(value, str | int | float)],
        deliveries=found.deliveries,
        related=related,
        is_settled=_is_settled(found, related),
        may_cancel=found.status in TRANSITIONS["request_cancel"].sources and _may_change(found),
        may_retry=found.status in TRANSITIONS["requeue"].sources and _may_change(found),
        may_repeat=found.kind in kinds_of_work() and current_user().may_submit,
    )


@blueprint.post("/jobs/<job_id>/cancel")
def cancel(job_id: str) -> AnyResponse:
    """Ask for its end."""
    return _back(acting.cancel(asked_job(job_id)))


@blueprint.post("/jobs/<job_id>/retry")
def retry(job_id: str) -> AnyResponse:
    """Start it over."""
    return _back(acting.start_over(asked_job(job_id)))


def _is_settled(found: Job, related: Sequence[Job]) -> bool:
    """Whether nothing more is to be seen: it is over, and so is what follows its end."""
    if not found.status.is_final or found.effects or not all(each.status.is_final for each in related):
        return False
    is_told = not found.callback or any((each["status"] or 0) in TAKEN for each in found.deliveries)
    return is_told or (seconds_between(found.finished_at) or 0) > FOLLOWED_SECONDS


def _below_title(content: str) -> str:
    """An article without its first line, which says what the page's heading says."""
    title, _, rest = content.partition("\n")
    return rest if title.startswith("# ") else content


def _may_see(found: Job) -> bool:
    return current_user().sees in (None, found.user_id)


def _may_change(found: Job) -> bool:
    user: User = current_user()
    return user.may_operate or (user.may_submit and found.user_id == user.id)


def _back(found: Job) -> AnyResponse:
    """To where the button was."""
    came_from_list = request.form.get("back") == "jobs"
    return redirect(url_for("pages.jobs") if came_from_list else url_for("pages.job", job_id=found.id), 303)
