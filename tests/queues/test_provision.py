"""Making the queues, at a real SQS server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from queues.catalogue import DAY, KINDS, Kind, prefixed
from queues.clients import QueueRefused, QueueUnavailable
from queues.clients import sqs as client
from queues.plan import Change, QueuePlan, plan
from queues.provision import apply, carry_out
from queues.queue import Outgoing, Queue, dead_letters_of, queue_for
from tests.conftest import NOWHERE
from tests.sqs import SqsProxy

ORDERED = Kind(
    name="ordered",
    purpose="something in order",
    visibility_seconds=30,
    retention_seconds=DAY,
    max_receives=1_000,
    max_attempts=3,
    max_seconds=60,
    slots=4,
    fifo=True,
)


def planned(name: str) -> QueuePlan:
    return next(each for each in plan() if each.name == prefixed(name))


def tags(queue: Queue) -> dict[str, str]:
    return client().list_queue_tags(QueueUrl=queue.url).get("Tags", {})


@pytest.fixture
def unmade(sqs: str, environment: Any) -> Iterator[None]:
    """A prefix under which there are no queues yet."""
    environment(QUEUE_PREFIX="unmade-")
    yield
    for kind in (*KINDS.values(), ORDERED):
        for name in (*(kind.queue_name(lane) for lane in kind.lanes), kind.dead_letter_name):
            if (queue := Queue(prefixed(name))) and _exists(queue):
                queue.remove()


def _exists(queue: Queue) -> bool:
    found = client().list_queues(QueueNamePrefix=queue.name).get("QueueUrls", [])
    return any(url.endswith(f"/{queue.name}") for url in found)


def test_the_queues_are_made_as_the_catalogue_says(queues: dict[str, str]) -> None:
    found = queue_for("videos").attributes()
    redrive = json.loads(found["RedrivePolicy"])
    assert (found["VisibilityTimeout"], found["MessageRetentionPeriod"]) == ("900", str(4 * 86_400))
    assert found["SqsManagedSseEnabled"] == "true"
    assert int(redrive["maxReceiveCount"]) == 3
    dead_letters = dead_letters_of("videos").attributes()
    assert redrive["deadLetterTargetArn"] == dead_letters["QueueArn"]
    assert dead_letters["MessageRetentionPeriod"] == str(14 * 86_400)


def test_only_the_queues_of_its_lanes_may_send_to_a_dead_letter_queue(queues: dict[str, str]) -> None:
    allowed = json.loads(dead_letters_of("videos").attributes()["RedriveAllowPolicy"])
    arns = [queue_for("videos", lane).attributes()["QueueArn"] for lane in ("normal", "high")]
    assert allowed == {"redrivePermission": "byQueue", "sourceQueueArns": sorted(arns)}


def test_queues_are_tagged_by_project_kind_and_lane(queues: dict[str, str]) -> None:
    assert tags(queue_for("videos", "high")) == {"project": "pressroom", "kind": "videos", "lane": "high"}
    assert tags(dead_letters_of("videos")) == {"project": "pressroom", "kind": "videos", "lane": "dead-letters"}


def test_doing_it_again_changes_nothing_and_says_so(queues: dict[str, str]) -> None:
    lines: list[str] = []
    assert apply(lines.append) == queues
    assert len(lines) == len(queues)
    assert all(line.endswith("as it should be") for line in lines)


def test_a_changed_attribute_is_named_and_put_right(queues: dict[str, str]) -> None:
    client().set_queue_attributes(QueueUrl=queue_for("images").url, Attributes={"VisibilityTimeout": "7"})
    assert planned("images").changes == [Change(attribute="VisibilityTimeout", now="7", wanted="180")]
    lines: list[str] = []
    apply(lines.append)
    assert [line for line in lines if "changed VisibilityTimeout" in line]
    assert queue_for("images").attributes()["VisibilityTimeout"] == "180"


def test_policies_are_told_by_names_and_put_right(queues: dict[str, str]) -> None:
    wrong = json.dumps({"deadLetterTargetArn": dead_letters_of("videos").attributes()["QueueArn"], "maxReceiveCount": 9})
    client().set_queue_attributes(QueueUrl=queue_for("images").url, Attributes={"RedrivePolicy": wrong})
    everybody = json.dumps({"redrivePermission": "allowAll"})
    client().set_queue_attributes(QueueUrl=dead_letters_of("images").url, Attributes={"RedriveAllowPolicy": everybody})
    (of_queue,), (of_dead_letters,) = planned("images").changes, planned("images-dlq").changes
    assert of_queue.now == f"to {prefixed('videos-dlq')} after 9 receives"
    assert of_queue.wanted == f"to {prefixed('images-dlq')} after 3 receives"
    assert of_dead_letters.now == "allowAll"
    assert of_dead_letters.wanted == f"from {prefixed('images')}, {prefixed('images-high')}"
    apply()
    assert all(each.does == "nothing" for each in plan())


def test_what_somebody_else_set_stays(queues: dict[str, str]) -> None:
    url = queue_for("images").url
    client().tag_queue(QueueUrl=url, Tags={"team": "red", "lane": "wrong"})
    client().set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": "alias/ours", "SqsManagedSseEnabled": "false"})
    assert [change.attribute for change in planned("images").changes] == ["tag lane"]
    apply()
    assert tags(queue_for("images")) == {"project": "pressroom", "kind": "images", "lane": "normal", "team": "red"}
    assert queue_for("images").attributes()["KmsMasterKeyId"] == "alias/ours"


def test_a_plan_of_nothing_creates_all_in_order_and_changes_nothing(unmade: None) -> None:
    found = plan([KINDS["articles"]])
    assert [(each.name, each.does) for each in found] == [
        ("unmade-articles-dlq", "create"),
        ("unmade-articles-high", "create"),
        ("unmade-articles", "create"),
    ]
    assert plan([KINDS["articles"]]) == found


def test_half_made_queues_are_finished(queues: dict[str, str]) -> None:
    dead_letters_of("articles").remove()
    queue_for("videos", "high").remove()
    assert {each.name for each in plan() if each.does == "create"} == {prefixed("articles-dlq"), prefixed("videos-high")}
    assert apply() == queues
    assert all(each.does == "nothing" for each in plan())


@pytest.mark.parametrize("made", [1, 2, 3])
def test_a_making_that_broke_off_is_finished_by_the_next(unmade: None, made: int) -> None:
    images = [KINDS["images"]]
    broken_off = carry_out(images)
    assert len([*islice(broken_off, made)]) == made
    assert [each.does for each in plan(images)] != ["nothing"] * 3
    list(carry_out(images))
    assert [each.does for each in plan(images)] == ["nothing"] * 3


def test_an_ordered_kind_gets_fifo_queues_that_share_by_group(unmade: None) -> None:
    made = {applied.plan.name: applied.url for applied in carry_out([ORDERED])}
    assert [*made] == ["unmade-ordered-dlq.fifo", "unmade-ordered.fifo"]
    found = Queue("unmade-ordered.fifo").attributes()
    wanted = {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "false",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    }
    assert wanted.items() <= found.items()
    assert Queue("unmade-ordered-dlq.fifo").attributes()["FifoQueue"] == "true"
    assert all(each.does == "nothing" for each in plan([ORDERED]))


def test_a_fifo_queue_takes_a_message_once_by_its_deduplication_id_and_any_without(unmade: None) -> None:
    list(carry_out([ORDERED]))
    queue = Queue("unmade-ordered.fifo")
    for _ in range(2):
        queue.send(Outgoing("once", group="ada", deduplication="job:1"))
    for _ in range(2):
        queue.send(Outgoing("each"))
    assert queue.count() == 3


def test_what_cannot_be_changed_is_said_with_the_remedy(queues: dict[str, str], environment: Any) -> None:
    environment(SQS_ORDERED_QUEUE_URL=queues[prefixed("images")])
    (fault,) = next(each for each in plan([ORDERED]) if each.lane == "normal").impossible
    assert fault.startswith("FifoQueue is false and can't be changed")
    assert "SQS_ORDERED_QUEUE_URL" in fault


def test_a_queue_given_by_its_url_is_changed_and_never_made(queues: dict[str, str], environment: Any) -> None:
    environment(SQS_IMAGES_QUEUE_URL=queues[prefixed("videos")])
    given = next(each for each in plan([KINDS["images"]]) if each.lane == "normal")
    assert given.name == prefixed("videos")
    assert "VisibilityTimeout" in {change.attribute for change in given.changes}
    environment(SQS_IMAGES_QUEUE_URL=queues[prefixed("videos")] + "-gone")
    given = next(each for each in plan([KINDS["images"]]) if each.lane == "normal")
    assert (given.does, given.changes) == ("nothing", [])
    assert "SQS_IMAGES_QUEUE_URL names a queue that does not exist" in given.impossible[0]


def test_a_queue_deleted_less_than_a_minute_ago_is_said_so(unmade: None, sqs_proxy: SqsProxy) -> None:
    sqs_proxy.fail(400, code="AWS.SimpleQueueService.QueueDeletedRecently", actions={"CreateQueue"})
    with pytest.raises(QueueRefused, match="unmade-articles-dlq: it was deleted less than a minute ago"):
        apply()


def test_with_sqs_away_one_line_says_so(environment: Any) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    with pytest.raises(QueueUnavailable, match="articles-dlq"):
        apply()
