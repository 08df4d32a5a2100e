"""`/dead-letters`: what failed, grouped by its error, with what to do; redrive and drop, seen beforehand and then done."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import structlog
from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from jobs.failures import Group, Selection
from jobs.redrive import Decide, Deed, Outcome, Round, drop, look, redrive
from jobs.roles import Role
from queues.catalogue import KINDS
from web.identity import current_user, require
from web.pages.site import blueprint
from web.problems import Problem, not_found

SHOWN_JOBS = 25
MOST_SECONDS = 20.0
"""Of one request; where there is more to do, the page says so."""
VERBS: dict[str, Decide] = {"redrive": redrive(), "redrive-malformed": redrive(malformed=True), "drop": drop}

log = structlog.get_logger("web")


@blueprint.get("/dead-letters")
def dead_letters() -> str:
    """The page at once; with `?whole=1` the groups too, kind by kind. (To look through every queue takes a moment, and
    with many letters seconds: the page's script asks for the whole of it, and takes that over.)"""
    require(Role.VIEWER)
    whole = url_for("pages.dead_letters", whole=1, **_done())
    if not request.args.get("whole"):
        return render_template("dead_letters.html", outcome=None, whole=whole, done=_done())
    outcome = Round(Selection(), look, most_seconds=MOST_SECONDS).run()
    groups = sorted((group for _, group in outcome.by_deed()), key=lambda group: [*KINDS].index(group.kind))
    return render_template(
        "dead_letters.html",
        by_kind=[(kind, list(those)) for kind, those in groupby(groups, key=lambda group: group.kind)],
        jobs=sum(len(group.jobs) for group in groups),
        letters=sum(group.letters for group in groups),
        outcome=outcome,
        shown_jobs=SHOWN_JOBS,
        may_operate=current_user().may_operate,
        done=_done(),
    )


def _done() -> dict[str, Any]:
    """What was done just now, as the way here says."""
    return {verb: request.args.get(verb, type=int) for verb in ("over", "dropped", "back", "stay")}


@blueprint.get("/dead-letters/<verb>")
def look_first(verb: str) -> str:
    """What would happen, and the button that makes it so."""
    require(Role.OPERATOR)
    selection = _selection(request.args)
    outcome = Round(selection, _decide(verb), most_seconds=MOST_SECONDS).run()
    return render_template(
        "dead_letters_confirm.html",
        verb=verb,
        kind=request.args.get("kind"),
        code=request.args.get("code"),
        message=request.args.get("message"),
        steps=[(deed, list(_of(outcome, deed)), *outcome.count(deed)) for deed in Deed],
        outcome=outcome,
    )


@blueprint.post("/dead-letters/<verb>")
def act(verb: str) -> AnyResponse:
    """Do it. What fails or gets better meanwhile is left as it is."""
    require(Role.OPERATOR)
    user = current_user()
    selection = _selection(request.form)
    outcome = Round(selection, _decide(verb), operator=user.id, most_seconds=MOST_SECONDS).run()
    counts = {deed: max(outcome.count(deed)) for deed in Deed}
    log.info(
        "dead letters acted upon by an operator",
        by=user.id,
        verb=verb,
        kinds=selection.kinds,
        codes=selection.codes,
        message=selection.message,
        **{deed.name.lower(): n for deed, n in counts.items()},
    )
    return redirect(
        url_for(
            "pages.dead_letters",
            over=counts[Deed.START_OVER],
            dropped=counts[Deed.DROP],
            back=counts[Deed.PUT_BACK],
            stay=counts[Deed.STAY],
        ),
        303,
    )


def _of(outcome: Outcome, deed: Deed) -> list[Group]:
    return [group for done, group in outcome.by_deed() if done is deed]


def _selection(asked: Mapping[str, str]) -> Selection:
    kind, code, message = (asked.get(name) for name in ("kind", "code", "message"))
    if kind and kind not in KINDS:
        raise not_found("such kind of job")
    if not kind:
        raise Problem(422, "Say which dead letters are meant: choose a kind on the page of dead letters.")
    return Selection(kinds=(kind,), codes=(code,) if code else (), message=message or None)


def _decide(verb: str) -> Decide:
    if verb not in VERBS:
        raise not_found("such thing to do with dead letters")
    return VERBS[verb]
