"""All scenarios, in the order in which they play."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from queue import SimpleQueue

from cli.verifying.endings import ENDINGS
from cli.verifying.hardships import HARDSHIPS
from cli.verifying.kills import KILLS
from cli.verifying.messages import MESSAGES
from cli.verifying.outages import OUTAGES
from cli.verifying.play import Outcome, Scenario, play
from cli.verifying.stage import Stage

SCENARIOS: Sequence[Scenario] = sorted(
    [*MESSAGES, *ENDINGS, *HARDSHIPS, *OUTAGES, *KILLS],
    key=lambda scenario: ("calm", "kills", None).index(scenario.together),
)


class UnknownScenario(Exception):
    """There is no such scenario."""


def named(words: Sequence[str]) -> list[Scenario]:
    """The scenarios in whose names one of the words stands; all of them where there are no words.

    Raises:
        UnknownScenario: a word stands in none; the message names the scenarios.
    """
    for word in words:
        if not any(word in scenario.name for scenario in SCENARIOS):
            raise UnknownScenario(f"no scenario {word!r}; there are: {'; '.join(scenario.name for scenario in SCENARIOS)}")
    return [scenario for scenario in SCENARIOS if not words or any(word in scenario.name for word in words)]


def play_all(scenarios: Iterable[Scenario], stage: Stage, ended: Callable[[Outcome], None]) -> None:
    """Play them: those of one `together` at once, the others one by one. `ended` gets each outcome as it comes."""
    for together, group in groupby(scenarios, key=lambda scenario: scenario.together):
        if together is None:
            for scenario in group:
                ended(play(scenario, stage))
        else:
            _play_at_once(list(group), stage, ended)


def _play_at_once(scenarios: Sequence[Scenario], stage: Stage, ended: Callable[[Outcome], None]) -> None:
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    for scenario in scenarios:
        stage.play_aside(partial(_play_into, outcomes, scenario, stage))
    for _ in scenarios:
        ended(outcomes.get())


def _play_into(outcomes: SimpleQueue[Outcome], scenario: Scenario, stage: Stage) -> None:
    outcomes.put(play(scenario, stage))
