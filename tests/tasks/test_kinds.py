"""`@job` and what it registers."""

from __future__ import annotations

import pytest

from jobs.errors import Retryable
from providers.requests import ArticleRequest
from queues.catalogue import KINDS
from tasks import app
from tasks.job_task import JobTask
from tasks.kinds import job, payload_model, task_of


def test_job_refuses_an_option_it_does_not_know() -> None:
    with pytest.raises(TypeError, match=r"@job\('articles'\) does not know the option retries"):
        job("articles", payload=ArticleRequest, retries=3)


def test_job_refuses_a_kind_that_the_catalogue_does_not_have() -> None:
    with pytest.raises(KeyError, match="no kind 'poems'"):
        job("poems", payload=ArticleRequest)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_task_of_its_name_on_its_queue(kind: str) -> None:
    task = task_of(kind)
    assert isinstance(task, JobTask)
    assert task.name == kind
    assert app.amqp.router.route({}, kind)["queue"].name == kind
    assert payload_model(kind).model_json_schema()["properties"]


def test_celerys_own_way_to_retry_publishes_nothing_and_says_when() -> None:
    with pytest.raises(Retryable, match="not there yet") as raised:
        task_of("articles").retry(exc=ValueError("not there yet"), countdown=7)
    assert raised.value.retry_after_seconds == 7
