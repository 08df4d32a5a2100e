"""What can go wrong with a job, in three families.

`Retryable` is nobody's fault and passes; `Permanent` is the order's fault and fails the job now; anything else that a handler
raises is ours: counted as retryable, with its traceback in the log and plain words outside. Each class has a stable `code`
(the API's `error.code`), and its docstring is the message users read where the raiser gave none.
"""

from __future__ import annotations

import inspect


class JobError(Exception):
    """Something went wrong on our side. It was logged; the job is tried again."""

    code = "internal"
    retryable = True

    def __init__(self, message: str | None = None, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))
        self.retry_after_seconds = retry_after_seconds


class Retryable(JobError):
    """A service that the job needs is not there just now. The job is tried again."""

    code = "provider_unavailable"


class ProviderUnavailable(Retryable):
    """The AI provider can't be reached or is failing. The job is tried again."""


class ProviderUnreachable(ProviderUnavailable):
    """No connection to the AI provider could be made. The job is tried again."""


class ProviderGatewayError(ProviderUnavailable):
    """A gateway answered in the AI provider's place, which is down or slow. The job is tried again."""


class ProviderRateLimited(Retryable):
    """The AI provider asks us to slow down. The job is tried again."""

    code = "provider_rate_limited"


class TimedOut(Retryable):
    """The job ran longer than its kind may."""

    code = "timed_out"


class WorkerLost(Retryable):
    """The process that ran the job died."""

    code = "worker_lost"


class Permanent(JobError):
    """The job can't be done as it was ordered. Change the order and submit it again."""

    code = "provider_refused"
    retryable = False


class InvalidPayload(Permanent):
    """The job's payload is not what its kind needs. Correct it and submit it again."""

    code = "invalid_payload"


class ProviderRefused(Permanent):
    """The AI provider refuses this order. Change it and submit it again."""


class AttemptsExhausted(Permanent):
    """Every attempt failed. Retry the job once the cause is gone."""

    code = "attempts_exhausted"


class Cancelled(JobError):
    """The job was cancelled."""

    code = "cancelled"
    retryable = False


class Expired(JobError):
    """The job did not start in the time it was given."""

    code = "expired"
    retryable = False


class LeaseLost(Exception):
    """This worker's lease on the job is gone; what it made is discarded."""


class HandedBack(LeaseLost):
    """This worker stops; another one goes on with the job."""


class NotNow(Exception):
    """The job can't go on now, through no fault of its own: it is parked for `reason`, and no attempt is counted.

    `reason` is one word (`provider_outage`, `rate_limit`, `user_cap`); None for `seconds`: until somebody lifts the reason.
    """

    def __init__(self, reason: str, *, seconds: float | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds
