"""Changes of resumes, as orders."""

from __future__ import annotations

from typing import Any

from jobs.submit import Order


def change(action: str = "UPDATE", user_id: str = "ada", resume_id: str = "cv", **fields: Any) -> Order:
    """An order of a change. What an update or a creation says is `data`."""
    payload = {"action": action, "resumeId": resume_id, "template": None, "data": None, **fields}
    return Order(kind="resumes", payload=payload, user_id=user_id)
