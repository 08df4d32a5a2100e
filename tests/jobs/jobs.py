"""Jobs in any state, as documents that the validator accepts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from jobs.document import new_document
from jobs.life import FINAL, Status

TOKEN = "token-of-the-lease"
NOW = datetime.now(UTC)


def document(status: Status | str = Status.QUEUED, *, lease_seconds: float = 60, **fields: Any) -> dict[str, Any]:
    """A job's document in `status`, with what must go with it. A lease ends `lease_seconds` from now (negative: it ran out)."""
    status, now = Status(status), datetime.now(UTC)
    made = new_document(
        job_id=uuid4().hex,
        kind="articles",
        user_id="ada",
        payload={"mode": "topic", "topic": "Bees"},
        max_attempts=3,
        provider=None,
        model_id=None,
    )
    made |= {
        "status": status.value,
        "created_at": now,
        "dispatch": {"n": 1, "by": "test", "until": now, "at": now},
        "history": [],
    }
    if status is Status.PROCESSING:
        ends = now + timedelta(seconds=lease_seconds)
        made |= {"lease": {"token": TOKEN, "worker": "w", "expires_at": ends}, "attempts": 1, "started_at": now}
    if status in FINAL:
        made["finished_at"] = now
    return made | fields
