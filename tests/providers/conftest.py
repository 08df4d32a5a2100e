"""The providers under test, those that need a service with a real one behind them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.ai_service import AiService
from providers.openai import OpenAIProvider
from providers.replicate import ReplicateProvider
from providers.service import ServiceProvider
from tests.openai_server import KEY, OpenAIServer
from tests.replicate_server import TOKEN

READ_SECONDS = 120.0
"""How long a provider waits for a byte: longer than any test of a silent service waits for the provider."""


@pytest.fixture
def ai_service() -> Iterator[AiService]:
    with AiService() as service:
        yield service


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


def service_at(url: str, *, timeout_seconds: float = READ_SECONDS) -> ServiceProvider:
    """The provider for a service at `url`, polling as fast as it can."""
    return ServiceProvider(url, timeout_seconds=timeout_seconds, poll_seconds=0.01)


def openai_at(base_url: str, *, timeout_seconds: float = READ_SECONDS, api_key: str = KEY) -> OpenAIProvider:
    """The provider for OpenAI's API at `base_url`, keeping every finished section."""
    return OpenAIProvider(
        api_key=api_key,
        base_url=base_url,
        text_model="writer",
        image_model="painter",
        timeout_seconds=timeout_seconds,
        keep_seconds=0,
    )


def replicate_at(url: str, *, timeout_seconds: float = READ_SECONDS, token: str = TOKEN) -> ReplicateProvider:
    """The provider for Replicate's API at `url`, polling as fast as it can."""
    return ReplicateProvider(
        token=token,
        url=url,
        text_model="ours/writer",
        image_model="ours/painter",
        video_model="ours/filmer",
        timeout_seconds=timeout_seconds,
        poll_seconds=0.01,
    )
