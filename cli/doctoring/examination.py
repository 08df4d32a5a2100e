"""The checks in the order of their dependence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pymongo.errors import PyMongoError

from cli.doctoring import installation, queues, services, work
from cli.doctoring.findings import Check, Fault, Finding, State
from cli.doctoring.subject import Subject
from jobs.database import DatabaseUnavailable
from queues.clients import NoQueues, QueueError

CHECKS = (
    Check("settings", "they can be used", installation.settings_fit),
    Check("entry points", "celery knows this checkout's commands", installation.entry_points_installed),
    Check("Procfile", "each kind has a process", installation.procfile_follows_catalogue),
    Check("handles", "each process has enough for its queues", installation.handles_suffice),
    Check("MongoDB", "it answers", services.mongodb_answers, needs=("settings",)),
    Check("replica set", "it has a primary, which lets us in", services.is_replica_set, needs=("MongoDB",)),
    Check("SQS", "it answers, and knows us", services.sqs_answers, needs=("settings",)),
    Check("clocks", "MongoDB's, SQS's and ours agree", services.clocks_agree, needs=("settings",)),
    Check("region", "the queues are there", services.region_is_right, needs=("SQS",)),
    Check("queues", "all of the catalogue's exist", queues.queues_exist, needs=("region",)),
    Check("attributes", "as the catalogue says", queues.attributes_as_described, needs=("region",)),
    Check("visibility", "longer than a lease", queues.visibility_outlasts_lease, needs=("region",)),
    Check("rights", "what is needed is allowed", queues.rights_suffice, needs=("region",)),
    Check("relay", "it makes its rounds", work.relays_work, needs=("replica set",)),
    Check("workers", "they receive, and no kind waits for one", work.workers_receive, needs=("replica set",)),
    Check("provider", "it answers", services.provider_answers, needs=("settings",)),
)


def examine(subject: Subject, checks: Iterable[Check] = CHECKS) -> Iterator[Finding]:
    """Make the checks, each told when it is made. One that fails lets those that need it be left out."""
    unwell: dict[str, str] = {}  # by the check's name: the check that was the first to fail
    for check in checks:
        if missing := [name for name in check.needs if name in unwell]:
            finding = Finding(check, State.NOT_CHECKED, reason=f"not checked, because of {unwell[missing[0]]}")
        else:
            finding = _look(check, subject)
        if finding.state in {State.WRONG, State.NOT_CHECKED}:
            unwell[check.name] = unwell[missing[0]] if missing else check.name
        yield finding


def _look(check: Check, subject: Subject) -> Finding:
    try:
        faults = [*check.look(subject)]
    except NoQueues:
        return Finding(check, State.NOT_CHECKED, reason="not checked, because BROKER=none uses no SQS")
    except (QueueError, DatabaseUnavailable, PyMongoError) as error:
        faults = [Fault(f"it could not be looked at: {str(error).splitlines()[0][:200]}.", "Try again in a moment.")]
    if not faults:
        return Finding(check, State.WELL)
    is_wrong = any(not fault.is_warning for fault in faults)
    return Finding(check, State.WRONG if is_wrong else State.WARNING, faults)
