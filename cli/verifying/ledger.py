"""The ledger: what was accepted must be what ended, once, with one result, paid for once, and nothing may be left over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.verifying.dead_letters import DeadLetters
from jobs.content import article
from jobs.database import Document, database
from jobs.document import Job
from jobs.life import FINAL, Status
from jobs.media import media_of
from queues.catalogue import KINDS
from queues.queue import Queue, queue_for

COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
GENERATED = frozenset({"articles", "images", "videos"})
"""The kinds that an AI service is asked for."""
ENDS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED)


@dataclass(frozen=True)
class Ledger:
    """One look at everything. `faults` are sentences about what does not balance, `jobs_at_fault` the jobs they are about."""

    accepted: int
    ended: Mapping[str, int]
    paid: int
    generations: int
    in_flight: int
    faults: Sequence[str] = ()
    jobs_at_fault: Sequence[str] = field(default=(), repr=False)

    @property
    def balances(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        ended = " + ".join(f"{status} {self.ended[status]}" for status in self.ended)
        is_balanced = sum(self.ended.values()) == self.accepted
        sums = f"accepted {self.accepted} {'=' if is_balanced else '≠'} {ended}"
        payments = f"paid {self.paid} {'=' if self.paid == self.generations else '≠'} generations {self.generations}"
        verdict = "balanced" if self.balances else "NOT balanced"
        return f"ledger  {sums}; {payments}; in flight {self.in_flight}: {verdict}"

    def as_json(self) -> dict[str, Any]:
        return {
            "accepted": self.accepted,
            **self.ended,
            "paid": self.paid,
            "generations": self.generations,
            "inFlight": self.in_flight,
            "faults": list(self.faults),
            "jobsAtFault": list(self.jobs_at_fault),
            "balanced": self.balances,
        }


def read_ledger(accepted: Sequence[str], generations: Mapping[str, int], dead_letters: DeadLetters) -> Ledger:
    """The ledger of the jobs that were accepted, and of those that followed from them.

    `generations` says how often the AI service generated for each job.
    """
    documents = {document["_id"]: document for document in database().collection("jobs").find()}
    expected = {*accepted} | {child for document in documents.values() for child in document["related_jobs"]}
    jobs = {job_id: Job.from_document(document) for job_id, document in documents.items() if job_id in expected}
    letters = {letter.job_id for letter in dead_letters.all()}
    completed = [job for job in jobs.values() if job.status is Status.COMPLETED]
    wrong: dict[str, list[str]] = {
        "accepted and gone": sorted(expected - {*documents}),
        "there without having been accepted": sorted({*documents} - expected),
        "not over": [job.id for job in jobs.values() if job.status not in FINAL],
        "leased": [job.id for job in jobs.values() if job.lease],
        "with an effect pending": [job.id for job in jobs.values() if job.effects],
        "completed without a result": [
            job.id for job in jobs.values() if job.status is Status.COMPLETED and not _has_result(job)
        ],
        "completed without a generation": [
            job.id for job in completed if job.kind in GENERATED and not generations.get(job.id)
        ],
        "paid for more than once": [job_id for job_id, count in generations.items() if count > 1],
        "failed without a dead letter": [
            job.id for job in jobs.values() if job.status is Status.FAILED and job.id not in letters
        ],
        "a dead letter without having failed": [
            job.id for job in jobs.values() if job.status is not Status.FAILED and job.id in letters
        ],
    }
    messages = messages_in_flight()
    left_over = [f"{kind}: {count} messages left" for kind, count in messages.items() if count]
    statuses = Counter(job.status for job in jobs.values())
    return Ledger(
        accepted=len(expected),
        ended={status.value: statuses[status] for status in ENDS},
        paid=sum(1 for count in generations.values() if count),
        generations=sum(generations.values()),
        in_flight=sum(messages.values()) + len(wrong["leased"]) + len(wrong["with an effect pending"]),
        faults=[f"{what}: {_some(ids)}" for what, ids in wrong.items() if ids] + left_over,
        jobs_at_fault=sorted({job_id for ids in wrong.values() for job_id in ids}),
    )


def messages_in_flight() -> dict[str, int]:
    """The messages of each kind's queues: visible, in flight and delayed."""
    return {name: sum(_messages_in(queue_for(name, lane)) for lane in kind.lanes) for name, kind in KINDS.items()}


def _messages_in(queue: Queue) -> int:
    found = queue.attributes()
    return sum(int(found.get(count, 0)) for count in COUNTS)


def stories(job_ids: Sequence[str]) -> Iterator[str]:
    """What happened to each of the jobs, as its document tells it."""
    for job_id in job_ids:
        document: Document | None = database().collection("jobs").find_one({"_id": job_id})
        if document is None:
            yield f"{job_id}  there is no such job any more"
            continue
        told = ", ".join(_entry(entry) for entry in document["history"])
        error = f"; {document['error']['code']}: {document['error']['message']}" if document["error"] else ""
        yield f"{job_id}  {document['kind']} {document['status']}, attempts {document['attempts']}: {told}{error}"


def _entry(entry: Mapping[str, Any]) -> str:
    more = ":".join(str(entry[name]) for name in ("code", "reason") if entry.get(name))
    return f"{entry['at']:%H:%M:%S} {entry['verb']}{f' ({more})' if more else ''}"


def _has_result(job: Job) -> bool:
    if job.kind == "articles":
        return article(job) is not None
    named = (job.result or {}).get("media", [])
    return bool(named) and len(media_of(job)) == len(named)


def _some(job_ids: Sequence[str], most: int = 5) -> str:
    more = f" and {len(job_ids) - most} more" if len(job_ids) > most else ""
    return ", ".join(job_ids[:most]) + more
