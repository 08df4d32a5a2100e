"""The cancel of a generation whose job was cancelled with nobody at it: a pending effect, performed beside the providers."""

from __future__ import annotations

import structlog

from jobs.document import Job
from jobs.effects import PERFORMERS, Effect
from jobs.errors import Permanent
from providers.choice import provider_named

log = structlog.get_logger()


def cancel_generation(job: Job, effect: Effect) -> None:
    """Tell the provider. One that does not know the generation, or refuses, is not asked again."""
    try:
        provider_named(effect["provider"]).cancel(effect["checkpoint"])
    except Permanent as error:
        log.warning("the provider does not cancel", reason=str(error), **job.log_context())


PERFORMERS["cancel_generation"] = cancel_generation
