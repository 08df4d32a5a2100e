"""Files that a service keeps on another host: that host's troubles are not the service's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from devstack.ai_service import AiService
from devstack.forwarder import Forwarder
from devstack.generating_server import GeneratingServer
from jobs.errors import ProviderGatewayError, ProviderRateLimited, ProviderUnavailable, ProviderUnreachable
from providers.base import Provider
from providers.media import fetching
from providers.requests import ImageRequest
from tests.openai_server import OpenAIServer
from tests.providers.calls import RecordingCall
from tests.providers.conftest import openai_at, service_at

IMAGE = ImageRequest(prompt="a bee", size="96x64")
FAMILIES = {503: ProviderGatewayError, 429: ProviderRateLimited}
SERVERS: dict[str, tuple[type[GeneratingServer], Callable[[str], Provider], str]] = {
    "service": (AiService, service_at, "/files"),
    "openai": (OpenAIServer, lambda url: openai_at(f"{url}/v1"), "/pictures"),
}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[GeneratingServer, Callable[[str], Provider], str]]:
    server_type, provider_at, files = SERVERS[request.param]
    with server_type() as running:
        running.make(image_as="url")
        yield running, provider_at, files


@pytest.mark.parametrize("status", FAMILIES)
def test_only_the_services_own_address_speaks_for_it(
    server: tuple[GeneratingServer, Callable[[str], Provider], str], status: int
) -> None:
    running, provider_at, files = server
    running.behave(path=files, status=status, retry_after="40")
    with pytest.raises(FAMILIES[status]):
        provider_at(running.address).draw(IMAGE, RecordingCall(idempotency_key="1"))
    with (
        Forwarder("127.0.0.1", running.port) as way,  # the files are not where the service is asked
        pytest.raises(ProviderUnavailable, match="host that has it") as raised,
    ):
        provider_at(f"http://{way.address}").draw(IMAGE, RecordingCall(idempotency_key="2"))
    assert type(raised.value) is ProviderUnavailable
    assert raised.value.retry_after_seconds is None


def test_a_connection_refused_by_another_host_is_an_attempt() -> None:
    with pytest.raises(ProviderUnavailable) as raised, fetching("http://files.example/a.png", service="http://ai.example"):
        raise ProviderUnreachable
    assert type(raised.value) is ProviderUnavailable
    with pytest.raises(ProviderUnreachable), fetching("http://ai.example/files/a.png", service="http://ai.example/v1"):
        raise ProviderUnreachable
