"""`dead-letters redrive` and `dead-letters drop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.dead_letters.choosing import selecting, tell_of_the_unseen, tell_progress
from cli.dead_letters.listing import group_as_json, print_groups
from cli.errors import Refused, said_plainly
from cli.output import confirm, counted, json_option, operator, print_json, yes_option

if TYPE_CHECKING:
    from jobs.failures import Selection
    from jobs.redrive import Decide, Outcome

dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would happen.")
by_option = click.option("--by", default=operator, metavar="NAME", help="Who does it, for the jobs' history.  [default: you]")


@click.command("redrive")
@selecting
@click.option("--malformed", is_flag=True, help="Put back, as they were, messages that nobody could read, and unknown jobs'.")
@dry_run_option
@yes_option
@by_option
@json_option
@said_plainly
def redrive(selection: Selection, malformed: bool, dry_run: bool, yes: bool, by: str, as_json: bool) -> None:
    """Start failed jobs over, with new attempts, and delete their letters.

    Letters whose job is completed, cancelled or on its way again are dropped, not run again. Messages that nobody could read
    stay, unless --malformed puts them back: if nothing has changed, they come back here. Doing it again does no harm.
    """
    from jobs import redrive as redriving

    _act(selection, redriving.redrive(malformed=malformed), dry_run=dry_run, yes=yes, by=by, as_json=as_json)


@click.command("drop")
@selecting
@click.option("--all", "everything", is_flag=True, help="Everything, where no other option says what.")
@dry_run_option
@yes_option
@by_option
@json_option
@said_plainly
def drop(selection: Selection, everything: bool, dry_run: bool, yes: bool, by: str, as_json: bool) -> None:
    """Delete dead letters for good.

    A failed job stays failed, and is listed here no more; its user can still start it over. What nobody could read is gone.
    """
    from jobs import redrive as redriving

    if selection.is_everything and not everything:
        raise Refused("Say what to drop: --kind, --error, --older-than, --newer-than, --job, or --all.")
    _act(selection, redriving.drop, dry_run=dry_run, yes=yes, by=by, as_json=as_json)


def _act(selection: Selection, decide: Decide, *, dry_run: bool, yes: bool, by: str, as_json: bool) -> None:
    """Unless somebody has said yes beforehand, show what would happen, and ask."""
    from jobs.redrive import Round

    outcome = None
    if dry_run or not yes:
        outcome = Round(selection, decide, progress=tell_progress).run()
        if not as_json:
            _print(outcome, dry_run=True)
    if not dry_run and (outcome is None or outcome.is_work):
        if outcome is not None:
            confirm("Do it?", yes=yes)
        outcome = Round(selection, decide, operator=by, progress=tell_progress).run()
        if not as_json:
            _print(outcome, dry_run=False)
    assert outcome is not None
    if as_json:
        groups = [group_as_json(group, deed) for deed, group in outcome.by_deed()]
        print_json({"dryRun": dry_run, "groups": groups, "busy": outcome.busy, "missing": outcome.missing})
    tell_of_the_unseen(outcome)


def _print(outcome: Outcome, *, dry_run: bool) -> None:
    from jobs.redrive import Deed

    if not outcome.groups:
        click.echo("Nothing of that sort is there.")
        return
    if dry_run:
        print_groups(outcome)
    over, dropped, put_back, stay = (outcome.count(deed) for deed in (Deed.START_OVER, Deed.DROP, Deed.PUT_BACK, Deed.STAY))
    told = [
        (over[0], f"{'would start' if dry_run else 'started'} over: {counted(over[0], 'job')}"),
        (sum(dropped), f"{'would be dropped' if dry_run else 'dropped'}: {_jobs_and_letters(*dropped)}"),
        (put_back[1], f"{'would be put' if dry_run else 'put'} back as it was: {counted(put_back[1], 'message')}"),
        (sum(stay), f"{'would stay' if dry_run else 'left'} as it is: {_jobs_and_letters(*stay)}"),
    ]
    click.echo("; ".join(words for count, words in told if count))


def _jobs_and_letters(jobs: int, letters: int) -> str:
    return " and ".join([*([counted(jobs, "failed job")] if jobs else []), counted(letters, "letter")])
