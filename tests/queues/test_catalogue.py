"""The catalogue checks itself and SQS's limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from queues.catalogue import KINDS, CatalogueError, kind_named


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "Big Files"}, "lower-case word"),
        ({"visibility_seconds": 43_201}, "visibility_seconds"),
        ({"visibility_seconds": 0}, "visibility_seconds"),
        ({"retention_seconds": 59}, "retention_seconds"),
        ({"retention_seconds": 1_209_601}, "retention_seconds"),
        ({"max_receives": 0}, "max_receives"),
        ({"max_receives": 1_001}, "max_receives"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"slots": 0}, "slots"),
        ({"fifo": True}, "an order and a high lane"),
        ({"alarm_depth": 0}, "alarm_depth"),
        ({"backoff_seconds": 700}, "backoff_seconds"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_by_name(change: dict[str, Any], says: str) -> None:
    with pytest.raises(CatalogueError, match=says):
        replace(KINDS["articles"], **change)


def test_an_unknown_kind_is_answered_with_those_there_are() -> None:
    with pytest.raises(KeyError, match=f"there are {', '.join(KINDS)}"):
        kind_named("poems")


def test_visibility_is_by_type_as_the_documents_ask() -> None:
    asked = {
        "articles": 300,
        "images": 180,
        "videos": 900,
        "thumbnails": 300,
        "documents": 300,
        "resumes": 30,
        "emails": 60,
        "webhooks": 60,
        "analytics": 30,
    }
    assert {name: KINDS[name].visibility_seconds for name in asked} == asked


def test_names_of_queues_follow_from_the_kind() -> None:
    articles, ordered = KINDS["articles"], replace(KINDS["articles"], name="resumes", fifo=True, has_high_lane=False)
    assert [articles.queue_name(lane) for lane in articles.lanes] == ["articles-high", "articles"]
    assert articles.dead_letter_name == "articles-dlq"
    assert [ordered.queue_name(lane) for lane in ordered.lanes] == ["resumes.fifo"]
    assert (ordered.queue_name("high"), ordered.dead_letter_name) == ("resumes.fifo", "resumes-dlq.fifo")
