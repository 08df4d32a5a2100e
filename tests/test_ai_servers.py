"""The tests' own AI servers keep to what they stand for."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import Any

import pytest
import requests

from devstack.ai_service import AiService
from tests.openai_server import KEY, OpenAIServer
from tests.workers import PATIENCE_SECONDS

ARTICLE: dict[str, Any] = {
    "topic": "Bees",
    "word_count": 100,
    "tone": "Casual",
    "seo_optimization": False,
    "include_images": False,
    "keywords": [],
    "outline": [],
    "language": "en",
}


def _post(url: str, body: Any, **headers: str) -> requests.Response:
    return requests.post(url, json=body, headers={"Idempotency-Key": "k", **headers}, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "change", [{"wordCount": 100}, {"tone": None}, {"word_count": "100"}, {"word_count": -1}, {"topic": None}, {"topic": 3}]
)
def test_the_ai_service_refuses_what_is_not_in_its_contract(change: dict[str, Any]) -> None:
    with AiService() as service:
        answer = _post(f"{service.address}/api/generation/topic", ARTICLE | change)
        assert answer.status_code == 422
        assert answer.json()["detail"]
        assert service.generations == 0


def test_the_ai_service_refuses_a_missing_field_key_or_path() -> None:
    with AiService() as service:
        url = f"{service.address}/api/generation/topic"
        body = {name: value for name, value in ARTICLE.items() if name != "language"}
        assert "language" in str(_post(url, body).json()["detail"])
        assert requests.post(url, json=ARTICLE, timeout=PATIENCE_SECONDS).status_code == 400
        assert _post(f"{service.address}/api/generation/poem", ARTICLE).status_code == 404
        assert (
            requests.post(url, data="{", headers={"Content-Type": "application/json"}, timeout=PATIENCE_SECONDS).status_code
            == 422
        )


def test_openais_api_refuses_in_its_own_shape() -> None:
    with OpenAIServer() as server:
        url = f"{server.base_url}/chat/completions"
        body = {"model": "writer", "messages": [], "stream": True, "stream_options": {"include_usage": True}, "mood": 1}
        assert _post(url, body).status_code == 401
        answer = _post(url, body, Authorization=f"Bearer {KEY}")
        assert answer.status_code == 422
        assert "mood" in answer.json()["error"]["message"]


def test_a_key_belongs_to_one_order() -> None:
    with AiService() as service:
        url = f"{service.address}/api/generation/topic"
        first, again = _post(url, ARTICLE), _post(url, ARTICLE)
        assert first.json() == again.json()
        assert _post(url, ARTICLE | {"topic": "Wasps"}).status_code == 422
        assert service.generations == 1


def test_as_a_program_it_is_told_over_http_what_to_do() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "devstack.ai_service", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        address = found[0]
        url = f"{address}/api/generation/topic"
        assert _post(f"{address}/_control", {"behaviour": {"status": 503, "times": 1}}).ok
        assert [_post(url, ARTICLE).status_code for _ in range(2)] == [503, 200]
        state = requests.get(f"{address}/_control", timeout=PATIENCE_SECONDS).json()
        assert (state["generations"], state["requests"]) == (1, 2)
        assert _post(f"{address}/_control", {"behaviour": {"mood": "bad"}}).status_code == 422
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
