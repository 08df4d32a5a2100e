"""`celery -A tasks verify` from its start to its exit code."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import structlog

from cli.errors import in_plain_words
from cli.verifying import ground
from cli.verifying.ledger import Ledger, read_ledger, stories
from cli.verifying.play import Outcome, Scenario
from cli.verifying.scenarios import UnknownScenario, named, play_all
from cli.verifying.stage import Stage, open_stage
from cli.verifying.table import Json, Table
from cli.verifying.waiting import NeverHappened
from devstack.ai_service import AiService
from devstack.stopping import Stopped, stop_on_signals
from devstack.watchdog import Watchdog
from jobs.database import DatabaseUnavailable, PyMongoError, database
from jobs.life import Status
from queues.clients import QueueError
from settings import SettingsError, settings

SHORT_LEASE_SECONDS = 3
SHORT_WAIT_SECONDS = 1
LOOK_SECONDS = 1.0
UNBALANCED, UNABLE, INTERRUPTED = 1, 2, 130
"""Exit codes. Click's own for a wrong option is 2, too."""


def run(only: Sequence[str], *, is_long: bool, as_json: bool, inject_loss: bool) -> int:
    """Play the scenarios, print what came of them; the exit code. The logs stay where something was not as it should be."""
    stop_on_signals()
    directory = Path(tempfile.mkdtemp(prefix="pressroom-verify-"))
    code = INTERRUPTED
    try:
        code = _play(named(only), directory, Json() if as_json else Table(), is_long, inject_loss)
    except (UnknownScenario, SettingsError, QueueError, DatabaseUnavailable, PyMongoError, NeverHappened) as error:
        code = UNABLE
        print(f"verify: {in_plain_words(error) or error}", file=sys.stderr)
    except Stopped:
        pass
    finally:
        if code != UNBALANCED:
            shutil.rmtree(directory, ignore_errors=True)
    return code


def _play(scenarios: Sequence[Scenario], directory: Path, say: Table | Json, is_long: bool, inject_loss: bool) -> int:
    with ExitStack() as opened:
        opened.enter_context(say)
        service = opened.enter_context(AiService())
        told = _told(service.address, is_long)
        say.say(f"Queues {told['QUEUE_PREFIX']}…, database {told['MONGODB_DATABASE']}, logs {directory}")
        _log_to(opened.enter_context((directory / "verify.log").open("w")))
        watchdog = Watchdog(directory)
        opened.callback(watchdog.close)
        opened.enter_context(ground.taken_up(told))
        stage = opened.enter_context(open_stage(directory, watchdog, service))
        return _verify(scenarios, stage, say, inject_loss)


def _log_to(file: TextIO) -> None:
    """What this process logs as it submits jobs is for the curious, not for the table."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file), cache_logger_on_first_use=False)


def _told(ai_address: str, is_long: bool) -> dict[str, str]:
    if is_long:
        return ground.variables(ai_address, settings().lease_seconds, settings().sqs_wait_time_seconds)
    return ground.variables(ai_address, SHORT_LEASE_SECONDS, SHORT_WAIT_SECONDS)


def _verify(scenarios: Sequence[Scenario], stage: Stage, say: Table | Json, inject_loss: bool) -> int:
    outcomes: list[Outcome] = []

    def ended(outcome: Outcome) -> None:
        outcomes.append(outcome)
        say.row(outcome)

    say.head()
    play_all(scenarios, stage, ended)
    if inject_loss:
        ended(_lose_one(stage))
    ledger = settled(stage)
    at_fault = [*ledger.jobs_at_fault, *(job_id for outcome in outcomes for job_id in outcome.jobs_at_fault)]
    say.end(ledger, list(stories(list(dict.fromkeys(at_fault)))))
    return 0 if ledger.balances and not any(outcome.fault for outcome in outcomes) else UNBALANCED


def settled(stage: Stage) -> Ledger:
    """The ledger, once it balances, or once it has not changed for so long that it won't any more."""
    seen: Ledger | None = None
    since = time.monotonic()
    while True:
        ledger = read_ledger(stage.accepted, stage.service.generations_for, stage.dead_letters)
        if ledger != seen:
            seen, since = ledger, time.monotonic()
        patience = stage.patience_seconds if ledger.in_flight else stage.visibility_seconds
        if ledger.balances or time.monotonic() - since > patience:
            return ledger
        stage.let_pass(LOOK_SECONDS)


def _lose_one(stage: Stage) -> Outcome:
    """Remove an accepted job as nothing in Pressroom does: the ledger must notice."""
    lost = database().collection("jobs").find_one_and_delete({"status": Status.COMPLETED.value})
    return Outcome("an injected loss", jobs=0, did="1 job removed", statuses=lost["_id"] if lost else "none found", seconds=0)
