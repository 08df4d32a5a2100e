"""What a job's state means for its user, in words: why it waits, what went wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.document import Job
from jobs.life import WAITING, Status
from jobs.pauses import Pause

WAITS_FOR: Mapping[str, str] = {
    "provider_outage": "The AI provider is down. The job goes on by itself once it answers again.",
    "rate_limit": "The AI provider allows only so many requests. The job goes on as soon as it may ask again.",
    "user_cap": "As many of your jobs as may run at once are running. This one starts when one of them ends.",
    "spending_limit": "Your spending limit for today is used up. The job goes on when the limit starts anew or is raised.",
}
WHAT_TO_DO: Mapping[str, str] = {
    "invalid_payload": "Change the order and send it again: “Same again” opens it with what you wrote.",
    "provider_refused": "The AI provider won't make this. Change the order and send it again.",
    "provider_unavailable": "Nothing is wrong with your order. Retry it in a while.",
    "provider_rate_limited": "Nothing is wrong with your order. Retry it in a while.",
    "timed_out": "It took longer than it may. Retry it, or ask for something smaller.",
    "worker_lost": "The process that worked on it died. Retry it; if it happens again, tell whoever runs this server.",
    "attempts_exhausted": "Retry it once the cause is gone.",
    "cancelled": "Retry starts it over.",
    "expired": "It did not start in the time it was given. Retry starts it over, without that limit.",
    "spending_limit": "Retry it when your limit starts anew, or is raised.",
    "internal": "Something went wrong on our side. Retry it; if it happens again, tell whoever runs this server.",
}
OF_STATES: Mapping[Status, str] = {
    Status.SCHEDULED: "Scheduled",
    Status.QUEUED: "Waiting",
    Status.PROCESSING: "Working",
    Status.RETRYING: "Trying again",
    Status.COMPLETED: "Done",
    Status.FAILED: "Failed",
    Status.CANCELLED: "Cancelled",
    Status.EXPIRED: "Expired",
}


def what_to_do(code: str) -> str:
    """What its user does about a job that ended with this error."""
    return WHAT_TO_DO.get(code, "Retry it in a while.")


def why_it_waits(job: Job, pause: Pause | None = None) -> str:
    """Why a job does not start yet; empty where it waits for nothing but its turn. `pause`: its queue's, if it is paused."""
    if pause is not None and job.status in WAITING and not job.waiting_for:
        return f"Nothing of this kind is started just now: {pause.reason}. It goes on by itself afterwards."
    reason = (job.waiting_for or {}).get("reason")
    if reason:
        return WAITS_FOR.get(reason, f"It waits for {str(reason).replace('_', ' ')}.")
    if job.status is Status.SCHEDULED:
        return "It was ordered for later."
    if job.status is Status.RETRYING:
        return "The last attempt did not succeed; the next follows by itself."
    return ""


def state_in_words(status: Status) -> str:
    return OF_STATES[status]
