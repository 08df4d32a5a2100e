"""Lists of jobs: whole, in their order, found by words and ids, and each served by an index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.cursor import BadCursor
from jobs.database import database as source
from jobs.document import new_document
from jobs.life import Status
from jobs.listing import NothingToFind, Selection, page
from jobs.search import MOST_WORDS, words_of
from tests.jobs.jobs import document

ADA = Selection(user_id="ada")


@pytest.fixture(autouse=True)
def indexes(database: Any) -> None:
    source().prepare()


def put(database: Any, *args: Any, topic: str | None = None, **fields: Any) -> str:
    made = document(*args, **fields)
    if topic:
        made |= {"payload": {"topic": topic}, "search": words_of({"topic": topic})}
    database.jobs.insert_one(made)
    return str(made["_id"])


def found(**wanted: Any) -> set[str]:
    return {job.id for job in page(Selection(**{"user_id": "ada", **wanted}))[0]}


def test_pages_hold_every_job_once_newest_first(database: Any) -> None:
    same = datetime.now(UTC)
    statuses = [Status.QUEUED, Status.COMPLETED, Status.QUEUED]
    ids = [put(database, statuses[place % 3], created_at=same - timedelta(seconds=place // 2)) for place in range(7)]
    put(database, user_id="bob")
    seen = []
    cursor = None
    while True:
        jobs, cursor = page(ADA, cursor=cursor, limit=3)
        seen += jobs
        if cursor is None:
            break
    assert sorted(job.id for job in seen) == sorted(ids)
    times = [job.created_at for job in seen]
    assert times == sorted(times, reverse=True)


def test_pages_are_of_a_user_a_kind_and_a_state_or_of_all(database: Any) -> None:
    queued, done = put(database), put(database, "completed")
    image, bobs = put(database, kind="images"), put(database, user_id="bob")
    assert found(kind="articles", status=Status.QUEUED) == {queued}
    assert found(status=Status.COMPLETED) == {done}
    assert found() == {queued, done, image}
    assert found(user_id=None) == {queued, done, image, bobs}
    assert found(user_id=None, kind="articles", status=Status.QUEUED) == {queued, bobs}


def test_a_made_up_cursor_is_refused() -> None:
    for cursor in ("nonsense", "e30", "%%%", "W10"):
        with pytest.raises(BadCursor):
            page(ADA, cursor=cursor)


def test_jobs_are_found_by_the_beginnings_of_their_words_and_ids(database: Any) -> None:
    tomatoes = put(database, topic="Growing TOMATOES on a balcony")
    basil = put(database, topic="Growing basil: a café's guide")
    bobs = put(database, topic="Growing hemp", user_id="bob")
    assert found(text="grow") == {tomatoes, basil}
    assert found(text="tomat grow") == {tomatoes}
    assert found(text="CAFÉ") == {basil}
    assert found(text="owing") == set()
    assert found(text=tomatoes[:8]) == {tomatoes}
    assert found(text=bobs[:8]) == set()
    assert found(text="grow", user_id=None) == {tomatoes, basil, bobs}
    assert found(text=bobs, user_id=None) == {bobs}
    with pytest.raises(NothingToFind):
        found(text="?!")


def test_the_words_of_an_order_are_few_and_short() -> None:
    words = words_of({"topic": "x" * 100, "outline": [f"Part {n}" for n in range(99)], "prompt": None, "size": "64x64"})
    assert len(words) == MOST_WORDS
    assert words[:3] == ["x" * 32, "part", "0"]
    made = new_document(
        job_id="j", kind="images", user_id="ada", payload={"prompt": "A B"}, max_attempts=1, provider=None, model_id=None
    )
    assert made["search"] == ["a", "b"]


@pytest.mark.parametrize(
    ("wanted", "most_keys"),
    [
        *((wanted, 80) for wanted in ({}, {"kind": "articles"}, {"status": Status.FAILED}, {"user_id": None})),
        ({"user_id": None, "kind": "videos"}, 80),
        ({"user_id": None, "status": Status.FAILED}, 80),
        ({"text": "bees"}, 40),
        ({"text": "bees dance"}, 40),
        ({"text": "rare", "user_id": None}, 40),
        ({"text": "abcdef01"}, 40),
    ],
    ids=str,
)
def test_no_list_reads_more_than_its_page_and_its_matches(database: Any, wanted: dict[str, Any], most_keys: int) -> None:
    """Of 1,200 jobs, most of them others' and about bees too."""
    now = datetime.now(UTC)
    crowd = []
    for n in range(1_200):
        made = document(
            ("queued", "completed", "failed")[n % 3],
            user_id="ada" if n % 100 == 0 else f"user-{n % 40}",
            kind=("articles", "images")[n % 2],
            created_at=now - timedelta(seconds=n),
        )
        crowd.append(made | {"search": ["bees", "dance", *(["rare"] if n % 500 == 0 else [])]})
    database.jobs.insert_many(crowd)
    selection = Selection(**{"user_id": "ada", **wanted})
    database.command("profile", 2)
    try:
        _, cursor = page(selection, limit=5)
        page(selection, cursor=cursor, limit=5)
        asked = list(database["system.profile"].find({"ns": f"{database.name}.jobs", "op": "query"}))
    finally:
        database.command("profile", 0)
        database["system.profile"].drop()
    assert len(asked) == 2
    for each in asked:
        assert "COLLSCAN" not in each["planSummary"], each
        assert each["keysExamined"] <= most_keys, each
        assert each["docsExamined"] <= 20, each
        assert selection.text or not each.get("hasSortStage"), each
