"""Where a page of jobs ended, as a text that a client gives back for the next one."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta

from jobs.document import Job

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CURSOR = re.compile(r"([0-9]{1,14}):([A-Za-z0-9_-]{1,64})")
"""When a job was created, in milliseconds, and its id."""


class BadCursor(ValueError):
    """The cursor is not one that a list answered. Leave it out to start at the newest job."""


def write_cursor(job: Job) -> str:
    """The cursor of a page that ends with `job`."""
    milliseconds = (job.created_at - EPOCH) // timedelta(milliseconds=1)  # as exact as MongoDB keeps it
    return base64.urlsafe_b64encode(f"{milliseconds}:{job.id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """When the last job of the page before was created, and its id.

    Raises:
        BadCursor: nobody was given this cursor.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise BadCursor(BadCursor.__doc__) from None
    read = CURSOR.fullmatch(text)
    if read is None:
        raise BadCursor(BadCursor.__doc__)
    return EPOCH + timedelta(milliseconds=int(read[1])), read[2]
