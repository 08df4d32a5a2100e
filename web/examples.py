"""What answers look like, for the documentation: made of the shapes themselves, so they can't go stale."""

from __future__ import annotations

from datetime import UTC, datetime

from jobs.life import Status
from web.brief import Accepted, ContentJob, MediaJob
from web.render import (
    ArticleText,
    JobError,
    JobPage,
    JobResult,
    JobShape,
    Links,
    MediaFile,
    ProgressShape,
    ResumeShape,
    Usage,
)

JOB_ID = "6b02f3d1c55e4b0c9a37d2f1e8b4a690"
HOST = "https://pressroom.example"
CREATED = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
STARTED = datetime(2026, 1, 15, 10, 30, 1, tzinfo=UTC)
FINISHED = datetime(2026, 1, 15, 10, 31, 12, tzinfo=UTC)

ACCEPTED = Accepted(job_id=JOB_ID)

ARTICLE = ArticleText(
    title="Fantasy Football Strategies",
    content="# Fantasy Football Strategies\n\nA season is won in …",
    word_count=812,
    content_id="0f4c2a9be1d34e57",
)

ARTICLE_JOB = ContentJob(
    job_id=JOB_ID,
    type="articles",
    status=Status.COMPLETED,
    progress=100,
    message="Done",
    attempts=1,
    created_at=CREATED,
    started_at=STARTED,
    finished_at=FINISHED,
    error=None,
    result=ARTICLE,
)

IMAGE = MediaFile(
    name="image.png",
    url=f"{HOST}/api/jobs/{JOB_ID}/media/image.png",
    content_type="image/png",
    bytes=1_482_113,
    width=1024,
    height=1024,
    duration=None,
)

IMAGE_JOB = MediaJob(job=ARTICLE_JOB.model_copy(update={"type": "images", "result": None}), media=[IMAGE])

QUEUED_JOB = JobShape(
    job_id=JOB_ID,
    type="articles",
    user_id="ada",
    status=Status.QUEUED,
    progress=ProgressShape(percent=0, stage="Waiting for a worker"),
    priority="normal",
    waiting_for=None,
    attempts=0,
    max_attempts=3,
    error=None,
    provider=None,
    model_id=None,
    created_at=CREATED,
    started_at=None,
    finished_at=None,
    expires_at=None,
    usage=None,
    metadata={},
    message_id="c80e8021-a70a-42c7-a470-796e1186f753",
    related_jobs=[],
    links=Links(
        self_=f"{HOST}/api/jobs/{JOB_ID}",
        events=f"{HOST}/api/jobs/{JOB_ID}/events",
        result=None,
        media=[],
        cancel=f"{HOST}/api/jobs/{JOB_ID}/cancel",
        retry=None,
    ),
)

COMPLETED_JOB = QUEUED_JOB.model_copy(
    update={
        "status": Status.COMPLETED,
        "progress": ProgressShape(percent=100, stage="Done"),
        "attempts": 1,
        "started_at": STARTED,
        "finished_at": FINISHED,
        "usage": Usage(input_tokens=212, output_tokens=1_240),
        "links": Links(
            self_=f"{HOST}/api/jobs/{JOB_ID}",
            events=f"{HOST}/api/jobs/{JOB_ID}/events",
            result=f"{HOST}/api/jobs/{JOB_ID}/result",
            media=[],
            cancel=None,
            retry=None,
        ),
    }
)

CANCELLED_JOB = QUEUED_JOB.model_copy(
    update={
        "status": Status.CANCELLED,
        "error": JobError(code="cancelled", message="The job was cancelled.", retryable=False, attempt=0, at=FINISHED),
        "finished_at": FINISHED,
        "links": Links(
            self_=f"{HOST}/api/jobs/{JOB_ID}",
            events=f"{HOST}/api/jobs/{JOB_ID}/events",
            result=None,
            media=[],
            cancel=None,
            retry=f"{HOST}/api/jobs/{JOB_ID}/retry",
        ),
    }
)

PAGE = JobPage(jobs=[COMPLETED_JOB], next=None)

RESUME = ResumeShape(
    resume_id="cv-2026",
    template="plain",
    data={"basics": {"name": "Ada Lovelace", "label": "Analyst"}},
    version=3,
    created_at=CREATED,
    updated_at=FINISHED,
)

RESULT = JobResult(job_id=JOB_ID, type="articles", article=ARTICLE, media=[])
