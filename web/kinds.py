"""The kinds of job there are, for clients that make their forms from this."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response
from pydantic import Field

from queues.catalogue import KINDS, Kind
from tasks.kinds import payload_model
from web.operations import Operation, Reply, describe
from web.render import Shape, answer

blueprint = Blueprint("kinds", __name__)


class KindShape(Shape):
    """A kind of job."""

    name: str = Field(description="The `type` of its jobs.")
    purpose: str = Field(description="What it makes.")
    internal: bool = Field(description="Whether its jobs follow from others; ordering one takes the role operator.")
    payload: dict[str, Any] = Field(description="The JSON Schema of its payload.")
    max_attempts: int = Field(description="How often a job of it may be started.")
    max_seconds: int = Field(description="The longest one attempt may take.")

    @classmethod
    def of(cls, kind: Kind) -> KindShape:
        schema = payload_model(kind.name).model_json_schema(by_alias=True)
        return cls(
            name=kind.name,
            purpose=kind.purpose,
            internal=kind.internal,
            payload=schema,
            max_attempts=kind.max_attempts,
            max_seconds=kind.max_seconds,
        )


class Kinds(Shape):
    """Every kind of job."""

    kinds: list[KindShape]


@blueprint.get("/api/kinds")
@describe(
    Operation(
        section="Jobs",
        summary="List the kinds of job",
        detail="What `type` may be in `POST /api/jobs`, and what each kind's `payload` is.",
        replies={200: Reply(what="Every kind.", shape=Kinds)},
    )
)
def index() -> Response:
    return answer(Kinds(kinds=[KindShape.of(kind) for kind in KINDS.values()]))
