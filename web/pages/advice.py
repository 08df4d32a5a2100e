"""What a job's state means for its user, in words: why it waits, what went wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from jobs.document import Job
from jobs.life import WAITING, Status
from jobs.outages import Outage
from jobs.pauses import Pause
from jobs.waiting import OUTAGE

WAITS_FOR: Mapping[str, str] = {
    "provider_outage": "The AI provider is down. The job goes on by itself once it answers again.",
    "rate_limit": "The AI provider allows only so many requests. The job goes on as soon as it may ask again.",
    "user_cap": "As many of your jobs as may run at once are running. This one starts when one of them ends.",
    "spending_limit": "Your spending limit for today is used up. The job goes on when the limit starts anew or is raised.",
}
HOLDS: Mapping[str, str] = {
    "provider_outage": "Paused: the AI provider is down",
    "rate_limit": "Held by the AI provider's rate limit",
    "user_cap": "Behind your other jobs",
    "spending_limit": "Held by your spending limit",
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


def why_it_waits(job: Job, pause: Pause | None = None, outage: Outage | None = None) -> str:
    """Why a job does not start yet; empty where it waits for nothing but its turn. `pause`: its queue's, if it is paused;
    `outage`: its provider's, if that is down."""
    if pause is not None and job.status in WAITING and not job.waiting_for:
        return f"Its queue is paused: {pause.reason.rstrip('.')}. Nothing is lost; it goes on by itself afterwards."
    reason = (job.waiting_for or {}).get("reason")
    if reason == OUTAGE and outage is not None:
        return f"The AI provider “{outage.provider}” is down: {outage.reason}. The job goes on by itself once it answers again."
    if reason:
        return WAITS_FOR.get(reason, f"It waits for {str(reason).replace('_', ' ')}.")
    if job.status is Status.SCHEDULED:
        return "It was ordered for later."
    if job.status is Status.RETRYING:
        return "The last attempt did not succeed; the next follows by itself."
    return ""


def next_try(job: Job, pause: Pause | None = None, outage: Outage | None = None) -> datetime | None:
    """When what holds the job back is looked at again; None: nothing does, or nobody knows when it ends."""
    if job.waiting_for:
        is_down = outage is not None and job.waiting_for["reason"] == OUTAGE
        return outage.next_probe_at if outage and is_down else job.waiting_for.get("until")
    return pause.next_try if pause is not None and job.status in WAITING else job.not_before


def heading(job: Job, pause: Pause | None = None) -> str:
    """What an open job does just now, in few words. `pause`: its queue's, if it is paused."""
    if job.status is Status.PROCESSING:
        return job.progress.stage or OF_STATES[job.status]
    reason = (job.waiting_for or {}).get("reason")
    if reason:
        return HOLDS.get(reason, "On hold")
    if pause is not None and job.status in WAITING:
        return "Paused"
    return {Status.SCHEDULED: "Scheduled", Status.RETRYING: "It is tried again"}.get(job.status, "Waiting for a worker")
