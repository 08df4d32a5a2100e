"""How a verb of a job's life is written: one conditional update on status and lease token. The verbs are in `jobs.store`."""

from __future__ import annotations

from typing import Any

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import WriteConcernError

from jobs.database import Database, Document, available
from jobs.document import Job
from jobs.expressions import NOW, later, literal
from jobs.life import FINAL, TRANSITIONS, Status
from jobs.pace import Pace
from jobs.subscribers import following, has_followers
from settings import settings

HISTORY_ENTRIES = 50
UNRECORDED = frozenset(
    {"renew", "progress", "checkpoint", "mark_sent", "effect_done", "note_delivery", "forget_message", "take", "wait_for_place"}
)
"""Verbs that leave no entry in the history: they come too often or say nothing to its reader."""

BY_ID = "_id_"
"""A write that names its jobs finds them so. Left to choose among fifteen indexes, MongoDB tries some of them first."""


class Verbs:
    """What the verbs are made of. Their methods raise `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, source: Database, pace: Pace) -> None:
        self._source = source
        self._pace = pace

    @property
    def _jobs(self) -> Collection[Document]:
        return self._source.collection("jobs")

    def _holds(self, verb: str, job_id: str, token: str, changes: Document, note: Document | None = None) -> bool:
        """A write under a lease: whether the token still stood."""
        guard = self._guard(verb, {"_id": job_id, "lease.token": token})
        with available():
            answer = self._jobs.update_one(guard, self._pipeline(verb, changes, note), hint=BY_ID)
        return answer.matched_count == 1

    def _leave(self, verb: str, job_id: str, token: str, changes: Document, note: Document | None = None) -> bool:
        """A write that gives the lease up with the job unfinished. Where its cancel is asked for, it is cancelled instead."""
        return self._holds(verb, job_id, token, changes | self._left(verb, changes), note)

    def _left(self, verb: str, changes: Document | None = None) -> Document:
        """What a lease's end changes in a job that is not over, and is cancelled if that was asked for."""
        target = TRANSITIONS[verb].target
        assert target is not None
        return {
            "lease": None,
            "status": {"$cond": [WANTS_CANCEL, Status.CANCELLED.value, target.value]},
            "finished_at": {"$cond": [WANTS_CANCEL, NOW, None]},
            "error": {"$cond": [WANTS_CANCEL, CANCELLED_ERROR, (changes or {}).get("error", "$error")]},
            "effects": {"$cond": [WANTS_CANCEL, generation_cancelled(), "$effects"]},
        }

    def _dispatched(self, n: Any, by: str) -> Document:
        """The dispatch, taken by `by`, who has to send the message."""
        return {"n": n, "by": literal(by), "until": later(self._pace.dispatch), "at": NOW}

    def _write(
        self,
        verb: str,
        guard: Document,
        changes: Document,
        note: Document | None = None,
        session: ClientSession | None = None,
    ) -> Job | None:
        with available():
            document = self._jobs.find_one_and_update(
                self._guard(verb, guard),
                self._pipeline(verb, changes, note),
                return_document=ReturnDocument.AFTER,
                session=session,
                hint=BY_ID,
            )
        return Job.from_document(document) if document else None

    def _write_once(self, verb: str, guard: Document, changes: Document, note: Document | None = None) -> Job | None:
        """As `_write`, for whoever repeats it himself where it fails. The driver doesn't, so MongoDB need not keep its answer
        besides: a thirteenth of the time."""
        jobs = self._jobs
        command = {
            "findAndModify": jobs.name,
            "query": self._guard(verb, guard),
            "update": self._pipeline(verb, changes, note),
            "new": True,
            "hint": BY_ID,
            "writeConcern": jobs.write_concern.document,
        }
        with available():
            answer = jobs.database.command(command, codec_options=jobs.codec_options)
            if fault := answer.get("writeConcernError"):
                raise WriteConcernError(fault["errmsg"], fault["code"], answer)
        return Job.from_document(answer["value"]) if answer["value"] else None

    def _guard(self, verb: str, guard: Document) -> Document:
        return {"status": {"$in": names(TRANSITIONS[verb].sources)}, **guard}

    def _pipeline(self, verb: str, changes: Document, note: Document | None) -> list[Document]:
        """The write; where it ends the job, what follows the end is pending, and with users' jobs capped the next one."""
        written = self._changes(verb, changes, note)
        stages: list[Document] = [{"$set": written}]
        if "finished_at" in written and TRANSITIONS[verb].sources.isdisjoint(FINAL):
            followed = [following()] if settings().user_running_jobs is None else [NEXT_FOLLOWS, following()]
            stages += [{"$set": {"effects": {"$cond": [has_followers(), effects, "$effects"]}}} for effects in followed]
        return stages

    def _changes(self, verb: str, changes: Document, note: Document | None = None) -> Document:
        target = TRANSITIONS[verb].target
        written: Document = {"version": {"$add": ["$version", 1]}}
        if target is not None:
            written["status"] = target.value
        if target in FINAL:
            written["finished_at"] = NOW
        if verb not in UNRECORDED:
            entry = {"at": NOW, "verb": verb, "attempt": changes.get("attempts", "$attempts"), **(note or {})}
            written["history"] = {"$slice": [{"$concatArrays": ["$history", [entry]]}, -HISTORY_ENTRIES]}
        return written | changes


UNDISPATCHED: Document = {"n": "$dispatch.n", "by": None, "until": None, "at": "$dispatch.at"}
"""A new message must come: whoever relays may send it."""
NEXT_FOLLOWS: Document = {
    "$concatArrays": ["$effects", [{"key": {"$concat": ["next:", {"$toString": "$version"}]}, "does": "next"}]]
}
"""The job's effects, and that its user's next job is sent; after the write that ends it."""
WANTS_CANCEL: Document = {"$ne": ["$cancel_requested", None]}


def effect_key(name: str) -> Document:
    """A key that no other write of the job makes: it holds the version that this write gives."""
    return {"$concat": [f"{name}:", {"$toString": {"$add": ["$version", 1]}}]}


def generation_cancelled() -> Document:
    """The job's effects, and the cancel of the generation that a checkpoint names, if one does."""
    effect = {
        "key": effect_key("cancel-generation"),
        "does": "cancel_generation",
        "provider": "$provider",
        "checkpoint": "$checkpoint",
    }
    return {"$concatArrays": ["$effects", {"$cond": [{"$eq": ["$checkpoint", literal({})]}, [], [effect]]}]}


def dead_lettered(reason: str) -> Document:
    """The job's effects, and its dead letter."""
    effect = {"key": effect_key("dead-letter"), "does": "dead_letter", "reason": literal(reason)}
    return {"$concatArrays": ["$effects", [effect]]}


def error_entry(code: str, message: str, retryable: bool) -> Document:
    return {
        "code": literal(code),
        "message": literal(message),
        "retryable": retryable,
        "attempt": "$attempts",
        "at": NOW,
    }


CANCELLED_ERROR = error_entry("cancelled", "The job was cancelled.", False)


def noted(code: str) -> Document:
    return {"code": literal(code)}


def names(statuses: frozenset[Status]) -> list[str]:
    return sorted(status.value for status in statuses)
