"""Whatever goes wrong, every accepted job ends once, with one result, paid for once, and nothing is left over."""

from __future__ import annotations

import pytest

from cli.verifying.command import settled
from cli.verifying.ledger import stories
from cli.verifying.play import Outcome
from cli.verifying.scenarios import SCENARIOS
from cli.verifying.stage import Stage
from queues.steps import Step


@pytest.mark.long
@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_the_jobs_come_out_of_it_as_they_should(scenario: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[scenario]
    assert outcome.fault is None, "\n".join([outcome.fault, *stories(outcome.jobs_at_fault)])


@pytest.mark.long
def test_the_ledger_of_all_of_them_balances(outcomes: dict[str, Outcome], stage: Stage) -> None:
    ledger = settled(stage)
    assert ledger.balances, "\n".join([str(ledger), *ledger.faults, *stories(ledger.jobs_at_fault)])
    assert ledger.accepted >= len(stage.accepted)


def test_there_is_a_kill_for_every_step() -> None:
    assert {f"kill -9 at {step}" for step in Step} <= {scenario.name for scenario in SCENARIOS}
