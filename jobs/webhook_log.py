"""The log of a job's webhooks, in the job itself: its last deliveries, whether they were taken, and why not."""

from __future__ import annotations

from functools import cache

from jobs.database import available, database
from jobs.expressions import NOW, literal
from jobs.pace import pace
from jobs.verbs import Verbs

MOST_ENTRIES = 20
REASON_CHARACTERS = 300


class WebhookLog(Verbs):
    """Over one database."""

    def note(
        self,
        job_id: str,
        user_id: str,
        *,
        webhook_id: str,
        attempt: int,
        event: str,
        status: int | None,
        seconds: float,
        error: str | None,
    ) -> None:
        """Note a try to deliver: `status` is the receiver's answer, None where it gave none. Noted twice it stands there once.

        Raises:
            DatabaseUnavailable: it may not be noted.
        """
        key = f"{webhook_id}:{attempt}"
        entry = literal(
            {
                "key": key,
                "webhook_id": webhook_id,
                "attempt": attempt,
                "event": event,
                "status": status,
                "seconds": round(seconds, 3),
                "error": error[:REASON_CHARACTERS] if error else None,
            }
        )
        entries = {"$concatArrays": [{"$ifNull": ["$deliveries", []]}, [{"$mergeObjects": [entry, {"at": NOW}]}]]}
        guard = self._guard("note_delivery", {"_id": job_id, "user_id": user_id, "deliveries.key": {"$ne": key}})
        with available():
            self._jobs.update_one(
                guard, self._pipeline("note_delivery", {"deliveries": {"$slice": [entries, -MOST_ENTRIES]}}, None)
            )


@cache
def webhook_log() -> WebhookLog:
    """The process's."""
    return WebhookLog(database(), pace())
