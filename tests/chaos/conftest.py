"""The stage of `celery -A tasks verify`, on the tests' own MongoDB and SQS: the same scenarios, with a short lease."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.verifying import ground
from cli.verifying.command import SHORT_LEASE_SECONDS, SHORT_WAIT_SECONDS
from cli.verifying.play import Outcome
from cli.verifying.scenarios import named, play_all
from cli.verifying.stage import Stage, open_stage
from devstack.ai_service import AiService
from devstack.watchdog import Watchdog
from tests.conftest import forget_settings
from tests.tasks.conftest import start_worker

__all__ = ["start_worker"]


@pytest.fixture(scope="module")
def stage(mongodb: str, sqs: str, watchdog: Watchdog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch, AiService() as service:
        told = ground.variables(service.address, SHORT_LEASE_SECONDS, SHORT_WAIT_SECONDS)
        for name, value in told.items():
            patch.setenv(name, value)
        forget_settings()
        with ground.taken_up(told), open_stage(tmp_path_factory.mktemp("stage"), watchdog, service) as opened:
            yield opened
    forget_settings()


@pytest.fixture(scope="module")
def outcomes(stage: Stage, request: pytest.FixtureRequest) -> dict[str, Outcome]:
    """What became of the scenarios that this run of the tests asks for, by their names. Those that can play at once do."""
    functions = [item for item in request.session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    wanted = {item.callspec.params.get("scenario") for item in functions}
    found: dict[str, Outcome] = {}
    play_all([each for each in named(()) if each.name in wanted], stage, lambda outcome: found.update({outcome.name: outcome}))
    return found
