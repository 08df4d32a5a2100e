"""Jobs that somebody should have looked after, and nobody did."""

from __future__ import annotations

from jobs.database import EVER, Document, available
from jobs.document import Job
from jobs.expressions import NOW, ago, expr
from jobs.life import TRANSITIONS, Status
from jobs.verbs import Verbs, names


class Overdue(Verbs):
    """The queries, each for up to `most` jobs of a kind, the longest overdue first. All raise `DatabaseUnavailable`."""

    def leases(self, kind: str, most: int) -> list[str]:
        """The ids of jobs whose lease ended some time ago, and that no delivery took over."""
        wanted = {"kind": kind, "status": Status.PROCESSING.value}
        has_ended = {"$lte": ["$lease.expires_at", ago(self._pace.overdue)]}
        return [job.id for job in self._find(wanted, has_ended, "lease_end", most)]

    def unstarted(self, kind: str, most: int) -> list[str]:
        """The ids of jobs that did not start in their time."""
        wanted = {
            "kind": kind,
            "status": {"$in": names(TRANSITIONS["expire"].sources)},
            "started_at": None,
            "expires_at": {"$gt": EVER},
        }
        return [job.id for job in self._find(wanted, {"$lte": ["$expires_at", NOW]}, "open_expiring", most)]

    def effects(self, kind: str, most: int) -> list[Job]:
        """Jobs whose effects whoever ended them has not performed in time."""
        wanted = {"kind": kind, "effects.key": {"$exists": True}}
        return self._find(wanted, {"$lte": ["$finished_at", ago(self._pace.dispatch)]}, "effects", most)

    def _find(self, wanted: Document, is_overdue: Document, index: str, most: int) -> list[Job]:
        with available():
            found = self._jobs.find(wanted | expr(is_overdue), hint=index).limit(most)
            return [Job.from_document(document) for document in found]
