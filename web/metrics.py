"""The numbers of the whole fleet, for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response, request

from jobs.roles import Role
from monitoring.metrics import exposition
from web.identity import require
from web.operations import Operation, Reply, describe

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@describe(
    Operation(
        section="Health",
        summary="Measure the fleet",
        detail="Workers, queues and jobs in Prometheus's text format. Every web process answers for all of them. "
        "Where MongoDB does not answer, `pressroom_up` is 0 and nothing else is said. "
        "Prometheus needs a key of the role viewer.",
        replies={200: Reply(what="The metrics.", other_types=("text/plain", "application/openmetrics-text"))},
    )
)
@require(Role.VIEWER)
def show() -> Response:
    text, content_type = exposition(request.headers.get("Accept", ""))
    return Response(text, content_type=content_type)
