"""A user's resumes, as the jobs of the kind `resumes` have made them."""

from __future__ import annotations

from flask import Blueprint, Response

from jobs.resumes import resumes
from web.examples import RESUME
from web.identity import current_user
from web.operations import Operation, Reply, describe
from web.problems import not_found
from web.render import ResumeShape, answer

blueprint = Blueprint("resumes", __name__)


@blueprint.get("/api/resumes/<resume_id>")
@describe(
    Operation(
        section="Resumes",
        summary="Fetch a resume",
        detail="As the changes that are done by now have made it. Order changes with `POST /api/jobs`, type `resumes`: "
        "yours are applied one after another, in the order in which they were accepted.",
        replies={200: Reply(what="The resume.", shape=ResumeShape, example=RESUME)},
    )
)
def show(resume_id: str) -> Response:
    found = resumes().get(current_user().id, resume_id)
    if found is None:
        raise not_found("such resume")
    return answer(ResumeShape.of(found))
