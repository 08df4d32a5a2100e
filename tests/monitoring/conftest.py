from __future__ import annotations

from tests.tasks.conftest import start_worker

__all__ = ["start_worker"]
