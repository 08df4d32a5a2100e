"""`celery -A tasks queues …`: make, watch and operate the queues.

These modules load at every call of celery, so they load what they need when they are called.
"""

from __future__ import annotations

import click

from cli.queues.draining import drain
from cli.queues.emptying import delete, purge
from cli.queues.holding import pause, resume
from cli.queues.making import apply, plan
from cli.queues.status import status
from cli.queues.trying import send_test


@click.group()
def queues() -> None:
    """Make, watch and operate the queues.

    The queues are described in queues/catalogue.py; KIND is a name from there, as in `articles`.
    """


for command in (plan, apply, status, send_test, pause, resume, drain, purge, delete):
    queues.add_command(command)
