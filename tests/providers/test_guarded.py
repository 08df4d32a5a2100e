"""A provider as jobs ask it: what is no fault of theirs parks them, and what is an attempt stays one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
from pymongo.uri_parser import parse_uri

from devstack.ai_service import AiService
from devstack.forwarder import Forwarder
from jobs.errors import Cancelled, NotNow, ProviderGatewayError, ProviderRateLimited, ProviderRefused, ProviderUnavailable
from jobs.outages import outages
from jobs.pauses import pauses
from jobs.waiting import OUTAGE, RATE_LIMIT
from providers.choice import provider_named
from providers.guarded import GuardedProvider
from providers.requests import ArticleRequest, ImageRequest, VideoRequest
from queues import steps
from tests.other_processes import at_once
from tests.providers.calls import RecordingCall
from tests.providers.test_outages import probe_is_due
from tests.workers import PATIENCE_SECONDS, wait_for

ARTICLE = ArticleRequest(topic="Bees", word_count=100)
IMAGE = ImageRequest(prompt="a bee", size="96x64")
VIDEO = VideoRequest(prompt="a bee", duration=1, size="96x64")
ELSEWHERE = """
from jobs.errors import NotNow
from providers.choice import provider_named
from providers.guarded import GuardedProvider
from providers.requests import ArticleRequest
from tests.providers.calls import RecordingCall

def asked():
    try:
        GuardedProvider(provider_named()).write(ArticleRequest(topic="Bees", word_count=100), RecordingCall())
    except NotNow as error:
        return [error.reason, error.seconds]
"""


class Call(RecordingCall):
    """Writes down, in order, what the guard and the provider tell it; a kept checkpoint is the call's from then on."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.told: list[str] = []

    def begin(self) -> None:
        self.told.append("begin")
        super().begin()

    def end(self) -> None:
        self.told.append("end")
        super().end()

    def keep(self, checkpoint: Any, *, resumes: bool = False) -> None:
        self.told.append("resumes" if resumes else "keep")
        super().keep(checkpoint, resumes=resumes)
        self.checkpoint = checkpoint


@pytest.fixture
def service(database: Any) -> Iterator[AiService]:
    with AiService() as running:
        yield running


@pytest.fixture
def cable(service: AiService) -> Iterator[Forwarder]:
    """The way to the service, which can be cut."""
    with Forwarder("127.0.0.1", service.port) as forwarder:
        yield forwarder


@pytest.fixture
def guarded(cable: Forwarder, environment: Callable[..., None]) -> GuardedProvider:
    # with so long a lease, no probe comes due by itself
    environment(AI_PROVIDER="service", AI_SERVICE_URL=f"http://{cable.address}", LEASE_SECONDS="600")
    return GuardedProvider(provider_named())


def test_a_call_is_begun_and_ended_around_the_asking(guarded: GuardedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call()
    monkeypatch.setattr(steps, "listeners", [lambda step, job_id: call.told.append(f"{step} {job_id}")])
    assert guarded.write(ARTICLE, call).content
    assert call.told == ["begin", "calling job-1", "end"]


def test_a_call_that_fails_is_ended_too(guarded: GuardedProvider, service: AiService) -> None:
    service.behave(status=422, detail="not decent")
    call = Call()
    with pytest.raises(ProviderRefused, match="not decent"):
        guarded.draw(IMAGE, call)
    assert call.told == ["begin", "end"]


def test_a_cancelled_job_asks_nobody(guarded: GuardedProvider, service: AiService) -> None:
    with pytest.raises(Cancelled):
        guarded.write(ARTICLE, Call(cancel_at_check=1))
    assert service.requests == []


def test_a_refused_connection_is_no_attempt_and_tells_the_fleet(guarded: GuardedProvider, cable: Forwarder) -> None:
    cable.cut()
    for order in (lambda: guarded.write(ARTICLE, Call()), lambda: guarded.film(VIDEO, Call())):
        with pytest.raises(NotNow) as told:
            order()
        assert told.value.reason == OUTAGE
        assert told.value.seconds
    assert outages().known()["service"].reason == "no connection"
    assert {*pauses().known()} == guarded.kinds


def test_a_connection_refused_for_a_moment_is_no_attempt_and_no_outage(
    guarded: GuardedProvider, cable: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Call()
    cable.cut()
    monkeypatch.setattr(call, "end", cable.restore)  # back before the probe is made
    with pytest.raises(NotNow) as told:
        guarded.write(ARTICLE, call)
    assert told.value.reason == OUTAGE
    assert outages().known() == {}
    assert guarded.write(ARTICLE, Call()).content


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateways_error_of_a_healthy_service_is_an_attempt(guarded: GuardedProvider, service: AiService, status: int) -> None:
    service.behave(path="/api", status=status)
    with pytest.raises(ProviderGatewayError):
        guarded.write(ARTICLE, Call())
    assert outages().known() == {}


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateways_error_is_no_attempt_if_the_probe_fails_too(
    guarded: GuardedProvider, service: AiService, status: int
) -> None:
    service.behave(status=status)
    with pytest.raises(NotNow) as told:
        guarded.write(ARTICLE, Call())
    assert told.value.reason == OUTAGE
    assert outages().known()["service"].reason == f"The AI service is down (HTTP {status})"


def test_other_failures_are_attempts_without_a_probe(guarded: GuardedProvider, service: AiService) -> None:
    service.behave(status=500)
    with pytest.raises(ProviderUnavailable):
        guarded.write(ARTICLE, Call())
    service.behave(cut=True)
    with pytest.raises(ProviderUnavailable):
        guarded.draw(IMAGE, Call())
    assert service.received("/health") == []


def test_nobody_asks_a_provider_that_is_down_until_its_probe_succeeds(
    guarded: GuardedProvider, service: AiService, database: Any
) -> None:
    service.behave(status=503)
    with pytest.raises(NotNow):
        guarded.write(ARTICLE, Call())
    service.behave()
    asked = len(service.requests)
    call = Call()
    with pytest.raises(NotNow):
        guarded.write(ARTICLE, call)
    ((reason, _),) = at_once(1, ready=ELSEWHERE, then="print(json.dumps(asked()))")
    assert (reason, call.told, len(service.requests)) == (OUTAGE, [], asked)
    probe_is_due(database)
    assert guarded.write(ARTICLE, Call()).content
    assert pauses().known() == {}


def test_a_service_that_asks_for_time_gets_it_from_all_processes(guarded: GuardedProvider, service: AiService) -> None:
    service.behave(status=429, retry_after="4000", times=1)
    with pytest.raises(NotNow) as told:
        guarded.write(ARTICLE, Call())
    assert told.value.reason == RATE_LIMIT
    assert told.value.seconds is not None
    assert told.value.seconds >= 4000
    with pytest.raises(NotNow):
        guarded.draw(IMAGE, Call())
    ((reason, seconds),) = at_once(1, ready=ELSEWHERE, then="print(json.dumps(asked()))")
    assert (reason, seconds > 3000) == (RATE_LIMIT, True)
    assert len(service.requests) == 1
    assert guarded.write(ARTICLE, Call(model_id="another model")).content


def test_a_service_that_asks_to_slow_down_and_does_not_say_for_how_long_is_tried_again(
    guarded: GuardedProvider, service: AiService
) -> None:
    service.behave(status=429, times=1)
    with pytest.raises(ProviderRateLimited):
        guarded.write(ARTICLE, Call())
    assert guarded.write(ARTICLE, Call()).content


def test_the_rate_limit_holds_for_new_orders_and_not_for_one_that_is_waited_on(
    guarded: GuardedProvider, service: AiService, environment: Callable[..., None]
) -> None:
    environment(AI_RATE_LIMIT="1/hour")
    first = Call(idempotency_key="film")
    service.behave(path="/files", cut=True)
    with pytest.raises(ProviderUnavailable):
        guarded.film(VIDEO, first)
    service.behave()
    with pytest.raises(NotNow) as told:
        guarded.write(ARTICLE, Call())
    assert told.value.reason == RATE_LIMIT
    second = Call(idempotency_key="film", checkpoint=first.checkpoint)
    assert guarded.film(VIDEO, second).files
    assert second.told == ["begin", "resumes", "end"]
    assert service.generations == 1


def test_an_article_that_goes_on_from_its_kept_text_is_a_new_order(
    guarded: GuardedProvider, environment: Callable[..., None]
) -> None:
    environment(AI_RATE_LIMIT="1/hour")
    guarded.write(ARTICLE, Call())
    with pytest.raises(NotNow):
        guarded.write(ARTICLE, Call(checkpoint={"content": "# Bees"}))


def test_while_a_provider_is_down_its_jobs_take_no_places_of_the_rate_limit(
    guarded: GuardedProvider, cable: Forwarder, database: Any, environment: Callable[..., None]
) -> None:
    environment(AI_RATE_LIMIT="2/hour")
    cable.cut()
    for _ in range(4):
        with pytest.raises(NotNow) as told:
            guarded.write(ARTICLE, Call())
        assert told.value.reason == OUTAGE
    (window,) = database.rate_windows.find()
    assert len(window["entries"]) == 1


@pytest.fixture
def mongodb_cable(mongodb: str, guarded: GuardedProvider, environment: Callable[..., None]) -> Iterator[Forwarder]:
    """The way to MongoDB, which can be cut."""
    host, port = parse_uri(mongodb)["nodelist"][0]
    with Forwarder(str(host), int(port or 27017)) as forwarder:
        environment(MONGODB_URI=f"mongodb://{forwarder.address}/?directConnection=true", AI_RATE_LIMIT="9/hour")
        yield forwarder


def test_with_mongodb_away_a_call_waits_until_the_rate_is_known_again(
    guarded: GuardedProvider, mongodb_cable: Forwarder, service: AiService
) -> None:
    mongodb_cable.cut()
    call, made = Call(), []
    waiting = Thread(target=lambda: made.append(guarded.draw(IMAGE, call)))
    waiting.start()
    wait_for(lambda: call.checks >= 3, "the call to be checked while it waits")
    assert service.requests == []
    mongodb_cable.restore()
    waiting.join(PATIENCE_SECONDS)
    assert len(made) == 1


def test_with_mongodb_away_a_cancelled_call_stops_waiting(guarded: GuardedProvider, mongodb_cable: Forwarder) -> None:
    mongodb_cable.cut()
    with pytest.raises(Cancelled):
        guarded.draw(IMAGE, Call(cancel_at_check=2))


def test_with_mongodb_away_a_refused_connection_is_no_attempt_either(
    guarded: GuardedProvider, mongodb_cable: Forwarder, cable: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Call()
    cable.cut()
    monkeypatch.setattr(call, "end", mongodb_cable.cut)
    with pytest.raises(NotNow) as told:
        guarded.draw(IMAGE, call)
    assert told.value.reason == OUTAGE
