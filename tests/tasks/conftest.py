from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.workers import Worker

StartWorker = Callable[..., Worker]


@pytest.fixture
def start_worker(tmp_path: Path, database: Any, queues: Any) -> Iterator[StartWorker]:
    """Starts workers that are ready when it returns; they are stopped, as a host stops them, when the test is over."""
    with ExitStack() as started:

        def start(*kinds: str, **variables: Any) -> Worker:
            return started.enter_context(Worker(tmp_path / "worker.log", *kinds, **variables))

        yield start
