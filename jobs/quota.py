"""How many jobs a user may have open at a time (`USER_ACTIVE_JOBS`).

Counted, not reserved: orders that come at the same moment may pass the limit together.
"""

from __future__ import annotations

from jobs.database import available, database
from jobs.life import OPEN
from jobs.verbs import names
from queues.catalogue import KINDS
from settings import settings

UNLIMITED = 1_000_000
"""Room where no limit is set."""


def room_for(user_id: str) -> int:
    """How many more jobs the user may order now; 0: none. Jobs of internal kinds take no room.

    Raises:
        DatabaseUnavailable: MongoDB is away.
    """
    most = settings().user_active_jobs
    if most is None:
        return UNLIMITED
    shown = [kind.name for kind in KINDS.values() if not kind.internal]
    wanted = {"user_id": user_id, "status": {"$in": names(OPEN)}, "kind": {"$in": shown}}
    with available():
        return most - database().collection("jobs").count_documents(wanted, limit=most, hint="open_user_sent")
