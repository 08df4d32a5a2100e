"""`dead-letters show`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cli.errors import Refused, said_plainly
from cli.output import json_option, print_json

if TYPE_CHECKING:
    from jobs.dead_letters import DeadLetter
    from jobs.document import Job

SHOWN_CHARACTERS = 4_000
"""Of a payload or a body; --json has all of it."""


@click.command("show")
@click.argument("wanted", metavar="JOB_OR_MESSAGE_ID")
@json_option
@said_plainly
def show(wanted: str, as_json: bool) -> None:
    """Tell what happened to a job, from its submission on, and what its dead letters say; or what one message says."""
    from jobs.redrive import letters_about
    from jobs.store import store
    from queues.catalogue import KINDS

    job = store().get(wanted)
    letters = letters_about(wanted, [job.kind] if job else KINDS)
    if job is None and letters and letters[0].job is not None and letters[0].speaks_of_its_job:
        job = store().get(letters[0].job["_id"])  # it was asked for by its letter
    if job is None and not letters:
        raise Refused(f"There is no job and no dead letter {wanted}. `celery -A tasks dead-letters list` shows what there is.")
    if as_json:
        print_json({"job": job and _job_as_json(job), "letters": [_letter_as_json(letter) for letter in letters]})
        return
    if job is not None:
        _print_job(job)
    for letter in letters:
        _print_letter(letter)
    if not letters:
        click.echo("\nNo dead letter of it was seen. (One that somebody else looks at, or that has just come, may not be.)")


def _print_job(job: Job) -> None:
    click.echo(f"job {job.id}: {job.kind} of {job.user_id}, {job.status}, attempt {job.attempts} of {job.max_attempts}")
    if job.error:
        click.echo(f"error  {job.error['code']}: {job.error['message']}")
    if job.error and (dropped := job.error.get("dropped")):
        click.echo(f"       dropped by {dropped['by']} on {dropped['at'].astimezone():%d %b %H:%M}")
    click.echo(f"order  {_shortened(json.dumps(dict(job.payload), ensure_ascii=False))}")
    click.echo("\nwhat happened")
    for entry in job.history:
        click.echo(f"  {entry['at'].astimezone():%d %b %H:%M:%S}  {entry['verb']:<14} attempt {entry['attempt']}{_note(entry)}")


def _note(entry: Mapping[str, Any]) -> str:
    return "".join(f"  {name} {value}" for name, value in entry.items() if name not in ("at", "verb", "attempt"))


def _print_letter(letter: DeadLetter) -> None:
    message = letter.message
    click.echo(f"\ndead letter {message.message_id}, of {letter.sent_at.astimezone():%d %b %H:%M:%S}")
    click.echo(f"  reason  {letter.reason or letter.fault or 'SQS moved it: its receives were used up'}")
    for name, value in message.attributes.items():
        if name != "Reason":
            click.echo(f"  {name}  {value}")
    click.echo(f"  {_shortened(message.body)}")


def _shortened(text: str) -> str:
    left_out = len(text) - SHOWN_CHARACTERS
    return text if left_out <= 0 else f"{text[:SHOWN_CHARACTERS]}… ({left_out:,} characters more; --json has them)"


def _job_as_json(job: Job) -> dict[str, Any]:
    return {
        "jobId": job.id,
        "type": job.kind,
        "userId": job.user_id,
        "status": job.status.value,
        "attempts": job.attempts,
        "maxAttempts": job.max_attempts,
        "crashes": job.crashes,
        "error": job.error,
        "payload": dict(job.payload),
        "history": job.history,
        "createdAt": job.created_at.isoformat(),
        "finishedAt": job.finished_at and job.finished_at.isoformat(),
    }


def _letter_as_json(letter: DeadLetter) -> dict[str, Any]:
    message = letter.message
    return {
        "messageId": message.message_id,
        "queue": letter.kind,
        "sentAt": letter.sent_at.isoformat(),
        "reason": letter.reason or letter.fault or None,
        "attributes": message.attributes,
        "body": message.body,
    }
