"""The header `Idempotency-Key`: an order that is sent again is accepted once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import request
from pydantic import BaseModel

from jobs.document import Job
from jobs.idempotency import KeyReused, Taken, take
from jobs.listing import these
from jobs.store import store
from jobs.submit import Order
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


def once(said: BaseModel, order: Order, accept: Callable[[Order], Job]) -> tuple[Job, dict[str, str]]:
    """The job that `accept` makes of an order, or that was made of it before under the request's key, and the header of that.

    `said` is the order as it was sent.

    Raises:
        Problem: 422, as `take_key`; and what `accept` raises.
        DatabaseUnavailable
    """
    taken = None
    if HEADER in request.headers:
        taken = take_key(said.model_dump(mode="json", by_alias=True, exclude_unset=True))
    known = None if taken is None or taken.is_ours else store().get(taken.job_id, current_user().id)
    if known is not None:
        return known, as_replay(True)
    return accept(replace(order, job_id=taken.job_id, idempotency_key=taken.key) if taken else order), {}


def accepted_before(taken: Taken | None, count: int) -> dict[int, Job]:
    """Those of so many orders' jobs that the key stands for and that there are by now, by their place."""
    if taken is None or taken.is_ours:
        return {}
    found = these([taken.entry(place) for place in range(count)], current_user().id)
    return {place: found[taken.entry(place)] for place in range(count) if taken.entry(place) in found}


def entry_of(taken: Taken | None, place: int, order: Order) -> Order:
    """An order of many, under the key of them all."""
    return replace(order, job_id=taken.entry(place), idempotency_key=taken.key) if taken else order


def as_replay(is_replay: bool) -> dict[str, str]:
    """The header that says whether the answer is about a job of before."""
    return {REPLAYED: "true"} if is_replay else {}
