"""Asset jobs: images and videos for a world, by the endpoints that one of the system's documents names (snake_case there)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from flask import Blueprint, Response, url_for
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from jobs.document import Job
from jobs.life import Status
from jobs.media import media_of
from jobs.submit import Order
from providers.requests import ImageRequest, Prompt, VideoRequest
from web.asked import asked_job
from web.body import read
from web.examples import CREATED, HOST, JOB_ID
from web.idempotency import once
from web.identity import current_user
from web.operations import Operation, Reply, describe
from web.ordering import ModelId, Provider, accept
from web.problems import not_found
from web.render import accepted, answer, media_url
from web.requestlog import about

HIGH_FROM = 7
"""Priorities are 0 to 9; these and above go to the high lane."""
MIDDLE = 5
WORLD, PRIORITY = "world_id", "asset_priority"
"""Names in the job's metadata."""

AssetStatus = Literal["QUEUED", "PROCESSING", "SUCCEEDED", "FAILED"]
STATUSES: dict[Status, AssetStatus] = {
    Status.SCHEDULED: "QUEUED",
    Status.QUEUED: "QUEUED",
    Status.RETRYING: "QUEUED",
    Status.PROCESSING: "PROCESSING",
    Status.COMPLETED: "SUCCEEDED",
    Status.FAILED: "FAILED",
    Status.CANCELLED: "FAILED",
    Status.EXPIRED: "FAILED",
}
KINDS_OF_ASSETS: dict[Literal["IMAGE", "VIDEO"], tuple[str, type[ImageRequest | VideoRequest]]] = {
    "IMAGE": ("images", ImageRequest),
    "VIDEO": ("videos", VideoRequest),
}
ASSET_TYPES: dict[str, Literal["IMAGE", "VIDEO"]] = {kind: asset_type for asset_type, (kind, _) in KINDS_OF_ASSETS.items()}

blueprint = Blueprint("assets", __name__)


class PromptSpec(BaseModel):
    """What the asset shows. Fields that are not known are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    description: Prompt = Field(description="The prompt.")


class AssetOrder(BaseModel):
    """An image or a video to make for a world. Fields that are not known are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, protected_namespaces=())

    world_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(description="The world that it is for.")
    asset_type: Literal["IMAGE", "VIDEO"] = Field(description="What to make.")
    provider: Provider | None = Field(default=None, description="The AI provider to ask. Left out: the server's own choice.")
    model_id: ModelId | None = Field(default=None, description="The model to ask for. Left out: the provider's own choice.")
    prompt_spec: PromptSpec = Field(description="What it shows.")
    priority: int = Field(default=MIDDLE, ge=0, le=9, description=f"{HIGH_FROM} and above start before the others.")

    def order(self, user_id: str) -> Order:
        """The same as a job for a user."""
        kind, request = KINDS_OF_ASSETS[self.asset_type]
        return Order(
            kind=kind,
            payload=request(prompt=self.prompt_spec.description).model_dump(mode="json", by_alias=True),
            user_id=user_id,
            provider=self.provider,
            model_id=self.model_id,
            priority="high" if self.priority >= HIGH_FROM else "normal",
            metadata={WORLD: self.world_id, PRIORITY: str(self.priority)},
        )


class AssetAccepted(BaseModel):
    """The order was accepted; the job is on its way."""

    job_id: str = Field(description="The job's id, for asking how it is.")
    status: AssetStatus = Field(description="Where it is.")
    created_at: datetime = Field(description="When it was accepted.")

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(job_id=job.id, status=STATUSES[job.status], created_at=job.created_at)


class Asset(BaseModel):
    """What was made."""

    id: str = Field(description="Its id.")
    url: str = Field(description="Where to fetch it.")
    content_type: str = Field(description="Its media type, as in `image/png`.")

    @classmethod
    def of(cls, job: Job) -> Self | None:
        made = next(iter(media_of(job)), None)
        if made is None:
            return None
        return cls(id=f"{job.id}/{made.name}", url=media_url(job, made.name), content_type=made.content_type)


class AssetJob(BaseModel):
    """A job that makes an asset."""

    model_config = ConfigDict(protected_namespaces=())

    job_id: str = Field(description="The job's id.")
    world_id: str | None = Field(description="The world that it is for; null where it was not ordered here.")
    asset_type: Literal["IMAGE", "VIDEO"] = Field(description="What it makes.")
    provider: str | None = Field(description="The AI provider that was asked for; null for the server's own choice.")
    model_id: str | None = Field(description="The model that was asked for; null for the provider's own choice.")
    priority: int = Field(description="0 to 9, as it was ordered.")
    status: AssetStatus = Field(description="Where it is.")
    error_code: str | None = Field(description="Why it did not succeed, as a stable word.")
    error_message: str | None = Field(description="The same in words.")
    asset: Asset | None = Field(description="What it made, once it has succeeded.")
    created_at: datetime = Field(description="When it was accepted.")
    started_at: datetime | None = Field(description="When a worker first took it.")
    finished_at: datetime | None = Field(description="When it came to its end.")

    @classmethod
    def of(cls, job: Job) -> Self:
        error = job.error if STATUSES[job.status] == "FAILED" else None
        return cls(
            job_id=job.id,
            world_id=job.metadata.get(WORLD),
            asset_type=ASSET_TYPES[job.kind],
            provider=job.provider,
            model_id=job.model_id,
            priority=_priority(job),
            status=STATUSES[job.status],
            error_code=error and error["code"],
            error_message=error and error["message"],
            asset=Asset.of(job),
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )


EXAMPLE = AssetJob(
    job_id=JOB_ID,
    world_id="world-7",
    asset_type="VIDEO",
    provider=None,
    model_id=None,
    priority=8,
    status="SUCCEEDED",
    error_code=None,
    error_message=None,
    asset=Asset(id=f"{JOB_ID}/video.mp4", url=f"{HOST}/api/jobs/{JOB_ID}/media/video.mp4", content_type="video/mp4"),
    created_at=CREATED,
    started_at=CREATED,
    finished_at=CREATED,
)


@blueprint.post("/assets/asset-jobs")
@describe(
    Operation(
        section="Asset jobs",
        summary="Order an asset",
        detail="Answers at once. Ask `GET /assets/asset-jobs/{job_id}` how it is. It is a job like the others: "
        "`/api/jobs` has it too.",
        body=AssetOrder,
        takes_key=True,
        examples={
            "A video": {
                "world_id": "world-7",
                "asset_type": "VIDEO",
                "prompt_spec": {"description": "A dragon over the harbour"},
                "priority": 8,
            },
            "An image": {"world_id": "world-7", "asset_type": "IMAGE", "prompt_spec": {"description": "The harbour by night"}},
        },
        replies={
            202: Reply(
                what="Accepted.",
                shape=AssetAccepted,
                example=AssetAccepted(job_id=JOB_ID, status="QUEUED", created_at=CREATED),
            )
        },
    )
)
def create() -> Response:
    said = read(AssetOrder)
    job, replayed = once(said, said.order(current_user().id), accept)
    about(job.id)
    return accepted(AssetAccepted.of(job), url_for("assets.show", job_id=job.id), replayed)


@blueprint.get("/assets/asset-jobs/<job_id>")
@describe(
    Operation(
        section="Asset jobs",
        summary="Follow an asset",
        detail="`asset` says where the file is once `status` is `SUCCEEDED`.",
        replies={200: Reply(what="The job as it is now.", shape=AssetJob, example=EXAMPLE)},
    )
)
def show(job_id: str) -> Response:
    job = asked_job(job_id)
    if job.kind not in ASSET_TYPES:
        raise not_found("such asset job")
    return answer(AssetJob.of(job))


def _priority(job: Job) -> int:
    ordered = job.metadata.get(PRIORITY, "")
    return int(ordered) if ordered.isdecimal() and len(ordered) == 1 else HIGH_FROM if job.priority == "high" else MIDDLE
