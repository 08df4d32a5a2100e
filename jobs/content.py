"""Articles in `generated_content`, one document for each attempt that wrote one.

A document's id is the lease token of its attempt: an attempt that lost its lease leaves a document that no job names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.database import Document, available, database
from jobs.document import Job
from jobs.expressions import NOW, new_or_kept


def save_article(job: Job, *, title: str, content: str, word_count: int) -> Document:
    """Save an article under the job's lease and answer what the job's result says of it."""
    assert job.lease is not None
    document = {
        "job_id": job.id,
        "user_id": job.user_id,
        "title": title,
        "content": content,
        "word_count": word_count,
        "payload": dict(job.payload),
        "is_judged": False,
    }
    with available():
        database().collection("generated_content").update_one(
            {"_id": job.lease.token},
            new_or_kept({"_id": job.lease.token} | document, created_at=NOW),
            upsert=True,
        )
    return {"content_id": job.lease.token, "title": title, "word_count": word_count}


def article(job: Job) -> Mapping[str, Any] | None:
    """The article of a completed job: `content_id`, `title`, `content` (Markdown), `word_count`. None where there is none."""
    content_id = (job.result or {}).get("content_id")
    if not content_id:
        return None
    with available():
        document = database().collection("generated_content").find_one({"_id": content_id, "user_id": job.user_id})
    if document is None:
        return None
    return {"content_id": content_id} | {name: document[name] for name in ("title", "content", "word_count")}
