"""`celery -A tasks dead-letters …`: see what failed and why, send it back, drop it.

These modules load at every call of celery, so they load what they need when they are called.
"""

from __future__ import annotations

import click

from cli.dead_letters.acting import drop, redrive
from cli.dead_letters.listing import list_letters
from cli.dead_letters.showing import show


@click.group("dead-letters")
def dead_letters() -> None:
    """See what failed and why, send it back, or drop it.

    Shown are the failed jobs, from MongoDB, together with what lies in the dead-letter queues: their letters, messages that
    nobody could read, and those whose receives are used up.

    Every failed job is shown. Of the queues only what SQS shows: not a letter that somebody else looks at just then, and
    perhaps not one that came within the last minute. Look again for those.
    """


for command in (list_letters, show, redrive, drop):
    dead_letters.add_command(command)
