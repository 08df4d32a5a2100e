"""The header `Idempotency-Key`: an order that is sent again is accepted once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import request

from jobs.document import Job
from jobs.idempotency import KeyReused, Taken, take
from jobs.store import store
from web.body import refused
from web.identity import current_user
from web.problems import Fault

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
USABLE = re.compile(r"[\x21-\x7e]{1,255}")
WHAT_IT_IS = (
    "A text of your own, 1 to 255 visible characters, that stands for this order for 24 hours: sent again with it, the same "
    "order is answered with the job that it made the first time."
)


def take_key(order: Mapping[str, Any]) -> Taken | None:
    """The key that the request names for its order; None: it names none.

    Raises:
        Problem: 422, it can't be a key, or it stands for another order.
        DatabaseUnavailable
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not USABLE.fullmatch(key):
        raise refused([Fault(field=HEADER, message=f"{HEADER} is no key: send 1 to 255 visible ASCII characters.")])
    try:
        return take(current_user().id, key, {"to": request.path, "order": order})
    except KeyReused as error:
        raise refused([Fault(field=HEADER, message=f"{HEADER} was used before: {error}")]) from None


def accepted_before(taken: Taken | None) -> Job | None:
    """The job that the key stands for, if there is one by now."""
    return None if taken is None or taken.is_ours else store().get(taken.job_id, current_user().id)


def as_replay(is_replay: bool) -> dict[str, str]:
    """The header that says whether the answer is about a job of before."""
    return {REPLAYED: "true"} if is_replay else {}
