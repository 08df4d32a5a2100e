"""Every environment variable Pressroom reads, typed, with its default.

The environment is read here and nowhere else; AWS's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` …)
are read by boto3 itself. While a stack of `make up` runs in this checkout, its addresses (`.dev/env`) stand in for what the
environment leaves open.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parent
DEV_ENV_FILE = CHECKOUT / ".dev" / "env"
STACK_PID = "PRESSROOM_STACK_PID"

SQS_LONGEST_WAIT_SECONDS = 20
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html"""
SQS_LARGEST_RECEIVE = 10
SQS_LONGEST_VISIBILITY_SECONDS = 43_200
LARGEST_RATE = 10_000
"""Each call of a window is remembered, in one document for each provider and model."""

PRICED_UNITS = ("input_tokens", "output_tokens", "images", "video_seconds", "seconds")
PriceTable = dict[str, dict[str, float]]


class SettingsError(Exception):
    """The environment holds values Pressroom can't work with."""


class Settings(BaseSettings):
    """What this process was told. Frozen; field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    mongodb_uri: str = Field(
        default="mongodb://127.0.0.1:27017/?replicaSet=rs0",
        description="Where MongoDB is. A replica set, be it of one member: transactions and change streams need it.",
    )
    mongodb_database: str = Field(default="pressroom", description="The database of the jobs.")
    aws_region: str | None = Field(
        default=None,
        validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"),
        description="The region of the queues and the bucket. Unset: as AWS's own configuration files say.",
    )
    queue_prefix: str = Field(
        default="", pattern=r"^[A-Za-z0-9_-]{0,40}$", description="Stands before every queue's name: `staging-`."
    )
    broker: Literal["sqs", "none"] = Field(
        default="sqs",
        description="`sqs`: jobs travel through SQS to workers. `none`: web processes run the jobs themselves, without SQS.",
    )
    web_slots: int = Field(
        default=4, ge=1, le=64, description="With `BROKER=none`: the most jobs of a kind that a web process runs at once."
    )
    sqs_wait_time_seconds: int = Field(
        default=20, ge=0, le=SQS_LONGEST_WAIT_SECONDS, description="How long a receive waits for a message (long poll)."
    )
    sqs_max_messages: int = Field(default=10, ge=1, le=SQS_LARGEST_RECEIVE, description="The most messages one receive takes.")
    lease_seconds: int = Field(
        default=30,
        ge=2,
        le=SQS_LONGEST_VISIBILITY_SECONDS - 5,
        description="How long a claim holds unless it is renewed. A dead worker's job starts again after about this time.",
    )
    shutdown_grace_seconds: float = Field(
        default=20,
        ge=0,
        le=3600,
        description="How long a worker told to stop waits for calls to AI providers that are under way.",
    )
    user_running_jobs: int | None = Field(
        default=None,
        ge=1,
        description="The most jobs of a user that are in the queues or running at once; the others wait. Unset: no limit.",
    )
    ai_provider: Literal["local", "service", "openai", "replicate"] | None = Field(
        default=None,
        description="`local`, `service`, `openai` or `replicate`. Unset: `service` if `AI_SERVICE_URL` is set, else `local`.",
    )
    ai_service_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("AI_SERVICE_URL", "FASTAPI_URL"),
        description="Base URL of the AI service. `FASTAPI_URL` is read too.",
    )
    ai_timeout_seconds: float = Field(
        default=300, gt=0, description="How long a call to an AI provider may go without a byte of its answer."
    )
    ai_rate_limit: str | None = Field(
        default=None,
        description="How often each provider and model is asked, by all workers together: `60/minute`, `100/hour`, `5/second`; "
        "several with commas between. Unset: as often as jobs come.",
    )
    openai_api_key: str | None = Field(default=None, description="Key of the OpenAI API, or of a service that speaks it.")
    openai_base_url: str | None = Field(default=None, description="Base URL of a service that speaks OpenAI's API.")
    openai_text_model: str = Field(default="gpt-5.4-mini", description="Model that writes articles, if a job names none.")
    openai_image_model: str = Field(default="gpt-image-2.5-flare", description="Model that draws images, if a job names none.")
    replicate_api_token: str | None = Field(default=None, description="Token of an account at Replicate.")
    replicate_base_url: str = Field(
        default="https://api.replicate.com/v1", description="Base URL of Replicate's API, or of what stands before it."
    )
    replicate_text_model: str = Field(
        default="meta/meta-llama-3-70b-instruct", description="Replicate's model that writes articles, if a job names none."
    )
    replicate_image_model: str = Field(
        default="black-forest-labs/flux-schnell", description="Replicate's model that draws images, if a job names none."
    )
    replicate_video_model: str = Field(
        default="minimax/video-01", description="Replicate's model that makes videos, if a job names none."
    )
    media_bucket: str | None = Field(
        default=None, description="S3 bucket for images and videos. Unset: MongoDB's GridFS keeps them."
    )
    media_url_seconds: int = Field(default=3600, ge=1, le=604_800, description="How long a presigned S3 URL holds.")
    monitor_url: str | None = Field(
        default=None,
        description="Where Celery's events and remote control travel, for Flower, `inspect` and `control`: MongoDB, or another "
        "broker of kombu's that can broadcast (`redis://…`). Unset: the jobs' MongoDB.",
    )
    auth: Literal["keys", "off"] = Field(
        default="keys",
        description="`keys`: whoever asks needs a key. `off`: no sign-in, everybody is the operator `local`; only for "
        "addresses of this machine.",
    )
    user_rate_limit: str | None = Field(
        default=None,
        description="How often each user may ask the API and the pages: `300/minute`. Unset: as often as he likes.",
    )
    user_active_jobs: int | None = Field(
        default=None, ge=1, description="The most jobs of a user that may be open at once; more are refused. Unset: no limit."
    )
    user_spending_limit: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="What a user's jobs may cost in a day (UTC), in the currency of `PRICES`; beyond it they wait for the next "
        "day. Unset: no limit.",
    )
    prices: str | None = Field(
        default=None,
        description='What providers cost, as JSON: `{"openai/gpt-5.4-mini": {"input_tokens": 0.25e-6, "output_tokens": 2e-6}, '
        '"openai/*": {"images": 0.04}}`, of `input_tokens`, `output_tokens`, `images`, `video_seconds` and `seconds` (of the '
        "provider's work). Unset: no costs are known.",
    )
    job_analytics: Literal["on"] | None = Field(
        default=None,
        description="`on`: each job's end is counted at `GET /api/analytics`, as `articles.completed`; "
        "it costs a small job of its own.",
    )
    cloudwatch_metrics: Literal["on"] | None = Field(
        default=None, description="`on`: a relay sends metrics to CloudWatch each minute, in the namespace `Pressroom`."
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None, description="Who collects traces (OTLP over HTTP; needs the extra `otel`). Unset: none are recorded."
    )
    job_retention_days: float = Field(
        default=90, gt=0, description="How long finished jobs and what they made are kept, in days."
    )
    port: int = Field(default=8000, ge=1, le=65_535, description="Port of the web process.")
    smtp_url: str | None = Field(
        default=None,
        description="The mail server: `smtp://user:password@host:587` (encrypted where it can) or `smtps://…`. "
        "Unset: no mail is sent, and the jobs that would fail with a word about it.",
    )
    mail_from: str | None = Field(default=None, description="Who mails are from: `Pressroom <noreply@example.org>`.")
    allow_private_urls: Literal["on"] | None = Field(
        default=None,
        description="`on`: addresses that users name (webhooks, videos) may lead to this machine itself, "
        "for trying things out.",
    )
    video_most_bytes: int = Field(
        default=2 * 1024**3,
        ge=1024,
        description="The largest video that is fetched from an address that a user names, in bytes.",
    )
    open_streams: int = Field(
        default=400,
        ge=1,
        le=5_000,
        description="The most streams of live events, and answers that wait, that a web process keeps open; each has a thread.",
    )
    public_url: str | None = Field(default=None, description="Where users reach the web process, if not at the request's host.")
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=10,
        description="How many proxies stand before the web process and name the client in `X-Forwarded-For` and "
        "`X-Forwarded-Proto`: 1 on Heroku-style hosts.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="`text` for people, `json` for machines.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="The least that is logged.")

    @field_validator("ai_service_url", "openai_base_url", "replicate_base_url", "public_url")
    @classmethod
    def _is_a_web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is not a web address; it starts with http:// or https://")
        return value.rstrip("/") if value else value

    @field_validator("smtp_url")
    @classmethod
    def _is_a_mail_server(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"smtps?://([^@/\s]+@)?[^@/:\s]+(:\d{1,5})?/?", value):
            raise ValueError("write smtp://user:password@host:587 or smtps://host, special characters as %40 and the like")
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_a_sender(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[^<>\r\n]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+", value):
            raise ValueError("write an address, as in noreply@example.org or Pressroom <noreply@example.org>")
        return value

    @field_validator("monitor_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"[a-z+]+://", value):
            raise ValueError("write mongodb://host/database, or redis://host")
        return value

    @field_validator("prices")
    @classmethod
    def _is_a_price_table(cls, value: str | None) -> str | None:
        if value is not None:
            read_prices(value)
        return value

    @field_validator("ai_rate_limit", "user_rate_limit")
    @classmethod
    def _is_a_rate_limit(cls, value: str | None) -> str | None:
        if value is None:
            return value
        from limits import parse_many  # slow to load, and seldom wanted

        try:
            parsed = parse_many(value)
        except ValueError:
            raise ValueError("write 60/minute, 100/hour or 5/second, several with commas between") from None
        if not all(1 <= limit.amount <= LARGEST_RATE for limit in parsed):
            raise ValueError(f"a rate is 1 to {LARGEST_RATE:,} in its time; for more, name a shorter time")
        return value

    def queue_url(self, kind: str) -> str | None:
        """The URL given outright for the queue of `kind` (`SQS_ARTICLES_QUEUE_URL`, or `SQS_ARTICLE_QUEUE_URL`), if one is."""
        names = (f"SQS_{word}_QUEUE_URL" for word in (kind.upper(), kind.upper().removesuffix("S")))
        return next((os.environ[name] for name in names if os.environ.get(name)), None)

    @property
    def uses_sqs(self) -> bool:
        """Whether SQS carries the jobs; else the web processes run them."""
        return self.broker == "sqs"

    @property
    def provider_name(self) -> str:
        """The provider of jobs that name none."""
        return self.ai_provider or ("service" if self.ai_service_url else "local")

    @property
    def price_table(self) -> PriceTable:
        """`PRICES`: by `provider/model` or `provider/*`, what one of each unit costs."""
        return read_prices(self.prices) if self.prices else {}

    def faults(self) -> list[str]:
        """What does not fit together, a sentence each with its remedy."""
        found = [
            f"{name}={value!r} is not a web address; it starts with http:// or https://"
            for name, value in os.environ.items()
            if re.fullmatch(r"SQS_[A-Z]+_QUEUE_URL", name) and value and not value.startswith(("http://", "https://"))
        ]
        if self.provider_name == "service" and not self.ai_service_url:
            found.append("AI_PROVIDER=service needs AI_SERVICE_URL: set it to the AI service's base URL")
        if self.smtp_url and not self.mail_from:
            found.append("SMTP_URL needs MAIL_FROM: set it to the address that mails are from")
        if self.provider_name == "openai" and not self.openai_api_key:
            found.append("AI_PROVIDER=openai needs OPENAI_API_KEY: set it (any word will do for a service that asks for none)")
        if self.provider_name == "replicate" and not self.replicate_api_token:
            found.append("AI_PROVIDER=replicate needs REPLICATE_API_TOKEN: set it to a token of your account")
        if self.user_spending_limit is not None and not self.prices:
            found.append("USER_SPENDING_LIMIT needs PRICES: without them nothing is known to cost anything")
        return found


def read_prices(text: str) -> PriceTable:
    """The price table in a text.

    Raises:
        ValueError: it is none; the message names the entry, what is wrong with it and the remedy.
    """
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(table, dict):
        raise ValueError('write an object, as in {"openai/*": {"output_tokens": 2e-6}}')
    for name, units in table.items():
        if not re.fullmatch(r"[a-z]+/\S+", name):
            raise ValueError(f"{name!r} names no provider and model: write openai/gpt-5.4-mini, or openai/* for all its models")
        if not isinstance(units, dict) or not units:
            raise ValueError(f'{name!r} has no prices: write an object, as in {{"output_tokens": 2e-6}}')
        for unit, price in units.items():
            if unit not in PRICED_UNITS:
                raise ValueError(f"{name!r} has a price for {unit!r}; there are {', '.join(PRICED_UNITS)}")
            if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < float("inf"):
                raise ValueError(f"{unit!r} of {name!r} costs {price!r}: write a number, 0 or more")
    return table


def read_dev_env(path: Path = DEV_ENV_FILE) -> dict[str, str]:
    """The variables of the stack that runs in this checkout; empty when none does."""
    if not path.is_file():
        return {}
    values = {name: value for name, value in dotenv_values(path).items() if value is not None}
    pid = values.pop(STACK_PID, "")
    return values if pid.isdigit() and _is_alive(int(pid)) else {}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: names every variable at fault, and the remedy.
    """
    if STACK_PID not in os.environ:  # else whoever started us has taken over what he wants of it
        for name, value in read_dev_env().items():
            os.environ.setdefault(name, value)  # boto3 reads its variables from there
    try:
        read = Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(dict(fault)) for fault in error.errors())) from None
    if faults := read.faults():
        raise SettingsError("\n".join(faults))
    return read


def _sentence(fault: dict[str, object]) -> str:
    location = fault["loc"]
    name = str(location[-1] if isinstance(location, tuple) and location else "").upper()
    given = fault["input"]
    if name.endswith("_URL"):  # what stands before its last @ is somebody's password
        given = re.sub(r"^([a-z+]+://)?.*@", r"\1…@", str(given))
    return f"{name}={given!r} can't be used: {str(fault['msg']).removeprefix('Value error, ')}"
