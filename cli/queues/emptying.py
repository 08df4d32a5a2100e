"""`queues purge` and `queues delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.errors import Refused, said_plainly
from cli.kinds import one_kind
from cli.output import confirm, counted, json_option, print_json, yes_option

if TYPE_CHECKING:
    from queues.queue import Queue


@click.command()
@one_kind
@click.option("--dead-letters", is_flag=True, help="Purge the dead-letter queue, and not the others.")
@click.option(
    "--cancel-jobs", is_flag=True, help="Cancel the kind's open jobs too, all users', so that nothing sends them again."
)
@yes_option
@json_option
@said_plainly
def purge(kind: str, dead_letters: bool, cancel_jobs: bool, yes: bool, as_json: bool) -> None:
    """Delete a kind's messages, in all its lanes.

    This ends no job: MongoDB decides, and the relay sends what is open there again, within about two minutes. To be rid of the
    jobs too, use --cancel-jobs. Dead letters are not sent again; their jobs stay failed, and can be retried.
    """
    from jobs.backlog import backlogs
    from jobs.ending import cancel_open

    if dead_letters and cancel_jobs:
        raise Refused("--cancel-jobs goes with the work queues: the jobs of dead letters are over already.")
    purged = _queues_of(kind)[-1:] if dead_letters else _queues_of(kind)[:-1]
    held = {queue.name: queue.count() for queue in purged}
    messages = counted(sum(held.values()), "message")
    jobs = 0 if dead_letters else backlogs([kind])[kind].open
    what_of_jobs = f"; {counted(jobs, 'open job')} will be sent again" if jobs else ""
    if cancel_jobs:
        what_of_jobs = f" and cancels {counted(jobs, 'open job')}"
    confirm(f"This deletes {messages} of {', '.join(held)}{what_of_jobs}.", yes=yes)
    over, stopping = cancel_open(kind) if cancel_jobs else (0, 0)
    faults = _purge(purged)
    if as_json:
        print_json({"purged": held, "openJobs": jobs, "cancelledJobs": over, "stoppingJobs": stopping, "faults": faults})
    else:
        if not faults:
            click.echo(f"Purged {', '.join(held)}: {messages}.")
        if cancel_jobs:
            click.echo(
                f"Cancelled {counted(over, 'job')}" + (f"; {stopping} more run and are told to stop." if stopping else ".")
            )
        elif jobs:
            click.echo(f"The relay sends {counted(jobs, 'open job')} of {kind} again; --cancel-jobs would end them.")
    if faults:
        raise Refused("; ".join(faults))


def _purge(queues: list[Queue]) -> list[str]:
    """Purge them all; what could not be done."""
    from queues.clients import QueueError, QueueUnavailable

    faults = []
    for queue in queues:
        try:
            queue.purge()
        except QueueUnavailable:
            raise
        except QueueError as error:
            faults.append(str(error))
    return faults


@click.command()
@one_kind
@click.option("--force", is_flag=True, help="Although jobs of the kind are open: they wait until the queues are made again.")
@yes_option
@json_option
@said_plainly
def delete(kind: str, force: bool, yes: bool, as_json: bool) -> None:
    """Delete the queues of a kind, its dead-letter queue included, with all messages in them.

    Refused while jobs of the kind are open: `queues drain` it first. SQS makes no new queue of the same name for a minute.
    """
    from jobs.backlog import backlogs
    from queues.clients import QueueMissing

    if (jobs := backlogs([kind])[kind].open) and not force:
        raise Refused(
            f"{kind} has {counted(jobs, 'open job')}. `celery -A tasks queues drain {kind}` waits for them; or add --force."
        )
    held: dict[str, int] = {}
    found = []
    for queue in _queues_of(kind):
        try:
            held[queue.name] = queue.count()
            found.append(queue)
        except QueueMissing:
            click.echo(f"{queue.name} does not exist.", err=True)
    if found:
        confirm(f"This deletes {', '.join(held)} with {counted(sum(held.values()), 'message')}.", yes=yes)
    for queue in found:
        queue.remove()
        if not as_json:
            click.echo(f"Deleted {queue.name}.")
    if as_json:
        print_json({"deleted": held, "openJobs": jobs})


def _queues_of(kind: str) -> list[Queue]:
    """The lanes' queues, then the dead-letter queue."""
    from queues.catalogue import kind_named
    from queues.queue import dead_letters_of, queue_for

    return [*(queue_for(kind, lane) for lane in kind_named(kind).lanes), dead_letters_of(kind)]
