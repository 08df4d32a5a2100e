"""SQS's rules that moto is too kind to keep: receipt handles, at-least-once delivery, deduplication, redrive."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any
from uuid import uuid4

from tests.http_proxy import Answer

DEDUPLICATION_SECONDS = 300
SINGLE_ACTION = {f"{action}Batch": action for action in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility")}
"""AWS knows no permission for a batch: its single action covers it."""
EXPIRED = "The receipt handle has expired."
UNAVAILABLE = "Message does not exist or is not available for visibility timeout change."

Content = dict[str, Any]
Forward = Callable[[str, Content], Answer]
"""Asks the server to do an action."""


class Receipts:
    """Which receipt handle of each message is the newest, and until when its message is in flight.

    Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html and
    https://repost.aws/knowledge-center/sqs-receipt-handle-error
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._message_of: dict[tuple[str, str], str] = {}
        self._newest: dict[tuple[str, str], str] = {}
        self._until: dict[tuple[str, str], float] = {}

    def given(self, queue: str, messages: list[Content], visibility_seconds: int | None) -> None:
        """These messages were just received."""
        until = math.inf if visibility_seconds is None else monotonic() + visibility_seconds
        with self._lock:
            for message in messages:
                message_id, handle = message["MessageId"], message["ReceiptHandle"]
                self._message_of[queue, handle] = message_id
                self._newest[queue, message_id] = handle
                self._until[queue, message_id] = until

    def single(self, queue: str, action: str, content: Content, forward: Forward) -> Answer:
        decided = self._decide(queue, action, content["ReceiptHandle"])
        if decided is not None:
            return error(*decided) if decided else ok({})
        answer = forward(action, {**content, "ReceiptHandle": _original(content["ReceiptHandle"])})
        if answer.status == 200:
            self._done(queue, content)
        elif self._is_gone(queue, content["ReceiptHandle"], json.loads(answer.body)["__type"]):
            return ok({}) if action == "DeleteMessage" else error(*_invalid(content["ReceiptHandle"], UNAVAILABLE))
        return answer

    def batch(self, queue: str, action: str, content: Content, forward: Forward) -> Answer:
        successful: list[Content] = []
        failed: list[Content] = []
        left: dict[str, Content] = {}
        for entry in content.get("Entries", []):
            decided = self._decide(queue, SINGLE_ACTION[action], entry["ReceiptHandle"])
            if decided is None:
                left[entry["Id"]] = entry
            elif decided:
                failed.append(_failure(entry, *decided))
            else:
                successful.append({"Id": entry["Id"]})
        if left or not content.get("Entries"):
            entries = [{**entry, "ReceiptHandle": _original(entry["ReceiptHandle"])} for entry in left.values()]
            answer = forward(action, {**content, "Entries": entries})
            if answer.status != 200:
                return answer
            said = json.loads(answer.body)
            successful += said.get("Successful", [])
            for entry in said.get("Successful", []):
                self._done(queue, left[entry["Id"]])
            for failure in said.get("Failed", []):
                entry = left[failure["Id"]]
                if not self._is_gone(queue, entry["ReceiptHandle"], failure["Code"]):
                    failed.append(failure)
                elif action == "DeleteMessageBatch":
                    successful.append({"Id": entry["Id"]})
                else:
                    failed.append(_failure(entry, *_invalid(entry["ReceiptHandle"], UNAVAILABLE)))
        return ok({"Successful": successful, "Failed": failed})

    def _decide(self, queue: str, action: str, handle: str) -> tuple[str, str] | tuple[()] | None:
        """An error's code and text, or () for an answer that changes nothing; None where the server should decide."""
        with self._lock:
            message_id = self._message_of.get((queue, handle))
            if message_id is None:
                return None
            is_newest = self._newest[queue, message_id] == handle
            is_current = is_newest and monotonic() < self._until[queue, message_id]
        if action == "ChangeMessageVisibility":
            return None if is_current else _invalid(handle, UNAVAILABLE)
        if queue.endswith(".fifo"):
            return None if is_current else _invalid(handle, EXPIRED)
        return None if is_newest else ()

    def _done(self, queue: str, entry: Content) -> None:
        with self._lock:
            message_id = self._message_of.get((queue, entry["ReceiptHandle"]))
            if message_id is not None and "VisibilityTimeout" in entry:
                self._until[queue, message_id] = monotonic() + entry["VisibilityTimeout"]

    def _is_gone(self, queue: str, handle: str, code: str) -> bool:
        """Whether the handle is a real one, and only its message is there no more."""
        return code.endswith("ReceiptHandleIsInvalid") and (queue, handle) in self._message_of


class Copies:
    """Second deliveries of messages, waiting for the next receive."""

    def __init__(self) -> None:
        self.every = 0
        self._delivered: Counter[str] = Counter()
        self._waiting: dict[str, list[Content]] = defaultdict(list)
        self._lock = Lock()

    def delivered(self, queue: str, messages: list[Content]) -> None:
        with self._lock:
            if not self.every or queue.endswith(".fifo"):
                return
            for message in messages:
                self._delivered[queue] += 1
                if self._delivered[queue] % self.every == 0:
                    handle = f"{_original(message['ReceiptHandle'])}#{uuid4().hex}"
                    self._waiting[queue].append({**message, "ReceiptHandle": handle})

    def take(self, queue: str, most: int) -> list[Content]:
        with self._lock:
            copies, self._waiting[queue] = self._waiting[queue][:most], self._waiting[queue][most:]
            return copies


class Deduplication:
    """What FIFO queues were sent in the last five minutes, whether it is still there or not.

    Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[float, Content]] = {}
        self._lock = Lock()

    def send(self, queue: str, action: str, content: Content, forward: Forward) -> Answer:
        if action == "SendMessage":
            return self._send(queue, content, forward)
        successful: list[Content] = []
        failed: list[Content] = []
        for entry in content["Entries"]:
            message = {name: value for name, value in entry.items() if name != "Id"}
            answer = self._send(queue, {"QueueUrl": content["QueueUrl"], **message}, forward)
            said = json.loads(answer.body)
            if answer.status == 200:
                successful.append({"Id": entry["Id"], **said})
            else:
                failed.append(_failure(entry, said["__type"].partition("#")[2], said["message"]))
        return ok({"Successful": successful, "Failed": failed})

    def _send(self, queue: str, content: Content, forward: Forward) -> Answer:
        key = queue, str(content.get("MessageDeduplicationId"))
        with self._lock:
            sent_at, said = self._answers.get(key, (-math.inf, {}))
            if "MessageDeduplicationId" in content and monotonic() - sent_at < DEDUPLICATION_SECONDS:
                return ok({**said, "MD5OfMessageBody": hashlib.md5(content["MessageBody"].encode()).hexdigest()})
            answer = forward("SendMessage", content)
            if answer.status == 200:
                self._answers[key] = monotonic(), json.loads(answer.body)
            return answer


class AllowPolicies:
    """Redrive-allow policies: moto takes them and forgets them, and does not know them by name."""

    NAME = "RedriveAllowPolicy"

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def keep(self, queue: str, content: Content, forward: Forward) -> Answer:
        answer = forward("SetQueueAttributes", content)
        if answer.status == 200 and self.NAME in content["Attributes"]:
            self.kept[queue] = content["Attributes"][self.NAME]
        return answer

    def tell(self, queue: str, content: Content, forward: Forward) -> Answer:
        asked = content.get("AttributeNames", [])
        answer = forward("GetQueueAttributes", {**content, "AttributeNames": [name for name in asked if name != self.NAME]})
        if answer.status == 200 and queue in self.kept and {"All", self.NAME} & {*asked}:
            said = json.loads(answer.body)
            return ok({**said, "Attributes": {**said.get("Attributes", {}), self.NAME: self.kept[queue]}})
        return answer

    def forget(self, queue: str, content: Content, forward: Forward) -> Answer:
        self.kept.pop(queue, None)
        return forward("DeleteQueue", content)


def start_move(content: Content, forward: Forward) -> Answer:
    source = content["SourceArn"].rpartition(":")[2]
    if target := content.get("DestinationArn", "").rpartition(":")[2]:
        move(forward, source, target)
        return ok({"TaskHandle": uuid4().hex})
    answer = forward("ListDeadLetterSourceQueues", {"QueueUrl": source})
    if answer.status != 200:
        return answer
    urls = json.loads(answer.body)["queueUrls"]
    if len(urls) != 1:
        return error("InvalidParameterValue", f"{len(urls)} queues have {source} as their dead-letter queue; name one.")
    move(forward, source, urls[0])
    return ok({"TaskHandle": uuid4().hex})


def move(forward: Forward, source: str, target: str) -> int:
    wanted = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"]}
    moved = 0
    while True:
        answer = forward("ReceiveMessage", {"QueueUrl": source, "VisibilityTimeout": 60, "WaitTimeSeconds": 0, **wanted})
        messages = json.loads(answer.body).get("Messages", [])
        if not messages:
            return moved
        for message in messages:
            group = message.get("Attributes", {}).get("MessageGroupId")
            new: Content = {"QueueUrl": target, "MessageBody": message["Body"]}
            new |= {"MessageAttributes": message.get("MessageAttributes", {})}
            new |= {"MessageGroupId": group} if group else {}
            new |= {"MessageDeduplicationId": uuid4().hex} if source.endswith(".fifo") else {}
            forward("SendMessage", new)
            forward("DeleteMessage", {"QueueUrl": source, "ReceiptHandle": message["ReceiptHandle"]})
            moved += 1


def _original(handle: str) -> str:
    """The server's handle behind a second delivery's."""
    return handle.partition("#")[0]


def _invalid(handle: str, reason: str) -> tuple[str, str]:
    return "InvalidParameterValue", f"Value {handle} for parameter ReceiptHandle is invalid. Reason: {reason}"


def _failure(entry: Content, code: str, text: str) -> Content:
    return {"Id": entry["Id"], "SenderFault": True, "Code": code, "Message": text}


def ok(content: Content) -> Answer:
    return _json(200, content)


def error(code: str, text: str, status: int = 400) -> Answer:
    fault = "Sender" if status < 500 else "Receiver"
    return _json(status, {"__type": f"com.amazonaws.sqs#{code}", "message": text}, ("x-amzn-query-error", f"{code};{fault}"))


def _json(status: int, content: Content, *headers: tuple[str, str]) -> Answer:
    named = ("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-RequestId", str(uuid4()))
    return Answer(status, (*named, *headers), json.dumps(content).encode())
