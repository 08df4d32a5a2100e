"""Whatever is sent, sensible or not, is answered as the API's own description says."""

from __future__ import annotations

from typing import Any

import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

from jobs.keys import keys
from jobs.life import Status
from jobs.roles import Role
from tests.jobs.jobs import document

HELD = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
STREAMS = r"/events$"
"""They end when their job does, or never."""
KNOWN = [f"known-{status}" for status in Status]
NAMES = {"jobId": KNOWN, "job_id": KNOWN, "queue": ["articles", "images"], "resumeId": ["cv"]}


FEW = settings(
    max_examples=6,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[*HealthCheck],
)


def test_every_answer_is_one_that_the_description_knows(client: FlaskClient, database: Any, environment: Any) -> None:
    environment(AUTH="keys", USER_RATE_LIMIT=None)
    key = {"Authorization": f"Bearer {keys().create('ada', Role.OPERATOR)[1]}"}
    database.jobs.insert_many([document(status, _id=f"known-{status}") for status in Status])
    described = schemathesis.openapi.from_wsgi("/openapi.json", client.application).exclude(path_regex=STREAMS)
    statuses: set[int] = set()

    def is_answered_as_described(case: schemathesis.Case) -> None:
        for name, known in NAMES.items():
            if len(case.path_parameters.get(name, "")) % 2:  # about every other one is there
                case.path_parameters[name] = known[len(case.path_parameters[name]) // 2 % len(known)]
        answer = case.call(headers=key)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=HELD)

    for operation in described.get_all_operations():
        FEW(given(operation.ok().as_strategy())(is_answered_as_described))()
    assert {200, 202, 404, 409, 422} <= statuses
