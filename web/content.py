"""Articles, by the endpoints that the system's documents name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from flask import Blueprint, Response
from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.document import Job
from jobs.submit import Order
from providers.requests import ArticleRequest, Line, needed
from web.asked import asked_job
from web.body import read
from web.brief import Accepted, AcceptedMany, ContentJob
from web.examples import ACCEPTED, ARTICLE_JOB
from web.idempotency import accepted_before, as_replay, entry_of, once, take_key
from web.identity import current_user
from web.operations import Operation, Reply, describe
from web.ordering import accept, accept_all
from web.render import accepted, answer, job_path
from web.requestlog import about

MOST_TOPICS = 100

blueprint = Blueprint("content", __name__)


class ContentOrder(ArticleRequest):
    """An article to write, or one for each of `topics`. Fields that are not known are ignored."""

    model_config = ConfigDict(extra="ignore")

    topics: Annotated[list[Line], Field(min_length=1, max_length=MOST_TOPICS)] | None = Field(
        default=None, description="Instead of `topic`: a job is made for each of these."
    )

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> ContentOrder:
        if not (self.topics or getattr(self, self.mode)):
            raise needed(self.mode, f"mode {self.mode!r} needs it")
        if self.topics and (self.topic or self.mode != "topic"):
            other = "topic" if self.topic else f"mode {self.mode!r}"
            raise PydanticCustomError("not_together", "topics and {other}", {"field": "topics", "other": other})
        return self


def _order(content: ContentOrder, topic: str | None) -> Order:
    payload = content.model_dump(mode="json", include=set(ArticleRequest.model_fields)) | {"topic": topic}
    return Order(kind="articles", payload=payload, user_id=current_user().id)


ORDER_EXAMPLE = {"mode": "topic", "topic": "Fantasy Football Strategies", "wordCount": 800, "tone": "Professional"}


@blueprint.post("/api/content/generate")
@describe(
    Operation(
        section="Articles",
        summary="Order articles",
        detail="Answers at once; the work goes on without you. Ask `GET /api/content/jobs/{jobId}` how it is.",
        body=ContentOrder,
        takes_key=True,
        examples={
            "From a topic": ORDER_EXAMPLE,
            "From keywords": {"mode": "keywords", "keywords": ["sourdough", "rye"], "wordCount": 600, "language": "en"},
            "From an outline": {"mode": "outline", "outline": ["Why bake at home", "The starter", "The first loaf"]},
            "Several at once": {"topics": ["Growing tomatoes", "Growing basil"], "wordCount": 400},
        },
        replies={
            202: Reply(what="Accepted: one job, or one for each of `topics`.", shape=(Accepted, AcceptedMany), example=ACCEPTED)
        },
    )
)
def generate() -> Response:
    said = read(ContentOrder)
    if said.topics:
        jobs, replayed = _once_each(said, said.topics)
        return accepted(AcceptedMany.of(jobs), "/api/jobs", replayed)
    job, replayed = once(said, _order(said, said.topic), accept)
    about(job.id)
    return accepted(Accepted(job_id=job.id), job_path(job.id), replayed)


def _once_each(said: ContentOrder, topics: Sequence[str]) -> tuple[list[Job], dict[str, str]]:
    """A job for each topic. Under a key those that there are already stay as they are."""
    taken = take_key(said.model_dump(mode="json", by_alias=True, exclude_unset=True))
    known = accepted_before(taken, len(topics))
    orders = [entry_of(taken, place, _order(said, topic)) for place, topic in enumerate(topics) if place not in known]
    made = iter(accept_all(orders))
    return [known[place] if place in known else next(made) for place in range(len(topics))], as_replay(bool(known))


@blueprint.get("/api/content/jobs/<job_id>")
@describe(
    Operation(
        section="Articles",
        summary="Follow an article",
        detail="`result` holds the article once `status` is `completed`.",
        replies={200: Reply(what="The job as it is now.", shape=ContentJob, example=ARTICLE_JOB)},
    )
)
def show(job_id: str) -> Response:
    return answer(ContentJob.of(asked_job(job_id)))
