"""What was used and what it cost, by user and day."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response
from pydantic import ConfigDict, Field

from jobs.spending import DayOfUsage, spending, usage_by_day
from settings import settings
from web.body import read_query
from web.identity import current_user, whose
from web.operations import Operation, Reply, describe
from web.render import Shape, answer

MOST_DAYS = 366

blueprint = Blueprint("usage", __name__)


class UsageQuery(Shape):
    """Which days, and whose."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(default=30, ge=1, le=MOST_DAYS, description="How many days, today included.")
    user: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Only this user's jobs; another's take the role operator or viewer.",
    )


class DayShape(Shape):
    """What a user's jobs of a kind used of a model in a day."""

    day: str = Field(description="The day, in UTC.")
    user_id: str = Field(description="Whose jobs.")
    kind: str = Field(description="The kind of job.")
    provider: str = Field(description="The AI provider that was asked.")
    model: str = Field(description="The model that was asked; empty where it is not known.")
    generations: int = Field(description="How often the provider finished; those of failed attempts count too.")
    input_tokens: int = Field(description="Tokens read.")
    output_tokens: int = Field(description="Tokens written.")
    images: int = Field(description="Images made.")
    video_seconds: float = Field(description="Seconds of video made.")
    seconds: float = Field(description="Seconds of the provider's work.")
    cost: float | None = Field(description="What all of it cost; null where no price is known.")

    @classmethod
    def of(cls, day: DayOfUsage) -> DayShape:
        return cls(**asdict(day))


class UsageShape(Shape):
    """Usage by day, the latest first."""

    days: list[DayShape] = Field(description="Days on which nothing was used are not among them.")
    spent_today: float = Field(description="What your own jobs have cost since midnight UTC.")
    spending_limit: float | None = Field(description="What they may cost in a day; beyond it they wait. Null: no limit.")


@blueprint.get("/api/usage")
@describe(
    Operation(
        section="Jobs",
        summary="Sum up usage by day",
        detail="What your jobs used and cost in the last days, by kind and model; for viewers and operators, everybody's jobs.",
        query=UsageQuery,
        examples={"": {"days": 7}},
        replies={200: Reply(what="The days.", shape=UsageShape)},
    )
)
def index() -> Response:
    query = read_query(UsageQuery)
    days = usage_by_day(whose(query.user), query.days)
    shape = UsageShape(
        days=[DayShape.of(day) for day in days],
        spent_today=spending().spent_today(current_user().id),
        spending_limit=settings().user_spending_limit,
    )
    return answer(shape)
