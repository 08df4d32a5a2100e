"""The table of a message whose job could not be claimed, row by row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from jobs.delivery import Answer, ComeAgain, Drop, SetAside, answer
from jobs.document import Job
from tests.jobs.jobs import NOW, document


def job(*args: Any, **fields: Any) -> Job:
    return Job.from_document(document(*args, **fields))


IN_A_MINUTE = NOW + timedelta(seconds=60)
LEASED: dict[str, Any] = {"lease": {"token": "t", "worker": "w", "expires_at": IN_A_MINUTE}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (job("completed", message_id="this"), Drop()),
        (job("failed", message_id="this"), Drop()),
        (job("cancelled", message_id="this"), Drop()),
        (job("expired", message_id="this"), Drop()),
        (job("processing", message_id="this", **LEASED), ComeAgain(60)),
        (job("processing", message_id="other", **LEASED), Drop()),
        (job("retrying", message_id="this", not_before=IN_A_MINUTE), ComeAgain(60)),
        (job("retrying", message_id="other", not_before=IN_A_MINUTE), Drop()),
        (job("retrying", message_id=None, not_before=IN_A_MINUTE), ComeAgain(60)),
        (job("retrying", message_id="this", not_before=NOW - timedelta(seconds=5)), ComeAgain(1)),
        (None, SetAside("no job has this id")),
        (job("queued", kind="images"), SetAside("field type is 'articles', but the job's is 'images'")),
    ],
)
def test_the_table(found: Job | None, expected: Answer) -> None:
    assert answer(found, NOW, kind="articles", message_id="this") == expected
