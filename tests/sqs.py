"""A proxy before moto's SQS that is as strict as AWS, and as faulty as a test wants it.

moto takes any receipt handle a message ever had, forgets deduplication with the message, never delivers twice, never fails and
has no StartMessageMoveTask. What is not SQS's JSON protocol passes untouched (S3, moto's own API).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from typing import Any, Literal

from devstack.sqs_server import KEY, REGION
from tests.http_proxy import Answer, Broken, HttpProxy, Request, Upstream
from tests.sqs_rules import (
    SINGLE_ACTION,
    AllowPolicies,
    Content,
    Copies,
    Deduplication,
    Forward,
    Receipts,
    error,
    move,
    ok,
    start_move,
)

Allows = Callable[[str, str, str], bool]


@dataclass
class Fault:
    """What happens to requests of these actions (None: of all): to the next `left`, or until it is `over`."""

    does: Literal["answer", "hang", "break", "lose"]
    actions: frozenset[str] | None
    left: int | None = None
    answer: Answer | None = None
    over: Event = field(default_factory=Event)

    def concerns(self, action: str) -> bool:
        return self.left != 0 and (self.actions is None or action in self.actions)


class SqsProxy(HttpProxy):
    """Stands before the SQS server at `host:port`. `counts` are the requests it got, by action."""

    def __init__(self, host: str, port: int) -> None:
        self.counts: Counter[str] = Counter()
        self.allows: Allows = lambda access_key, action, queue: True
        """Whether the owner of an access key may do a (single) action on a queue; who may not is refused as AWS does."""
        self._faults: list[Fault] = []
        self._guard = Lock()
        self._receipts = Receipts()
        self._copies = Copies()
        self._sent = Deduplication()
        self._allow_policies = AllowPolicies()
        super().__init__(host, port)

    # What a test asks for

    def fail(
        self,
        status: int = 503,
        *,
        code: str = "ServiceUnavailable",
        actions: Iterable[str] | None = None,
        times: int | None = None,
    ) -> None:
        """Answer with an error, and do nothing."""
        self._be("answer", actions, times, error(code, "told to", status=status))

    def throttle(
        self, *, code: str = "ThrottlingException", actions: Iterable[str] | None = None, times: int | None = None
    ) -> None:
        """Ask to slow down. `RequestThrottled` is the other code that SQS uses."""
        self.fail(403 if code == "RequestThrottled" else 400, code=code, actions=actions, times=times)

    def hang(self, *, actions: Iterable[str] | None = None, times: int | None = None) -> None:
        """Take requests and never answer. Answers under way don't arrive either, though what they answer is done."""
        self._be("hang", actions, times)

    def lose_answers(self, *, actions: Iterable[str] | None = None, times: int | None = None) -> None:
        """Do what is asked, and break the connection instead of saying so."""
        self._be("lose", actions, times)

    def refuse(self, *, actions: Iterable[str] | None = None, times: int | None = None) -> None:
        """Refuse connections and break those there are (S3's too); of named actions, break the connection unanswered."""
        if actions is None and times is None:
            self.stop()
        else:
            self._be("break", actions, times)

    def duplicate(self, *, every: int) -> None:
        """Deliver every n-th message of a queue twice: with the next receive too, under its message id. Not on FIFO queues."""
        self._copies.every = every

    def well(self) -> None:
        """No faults and no duplicates any more. What hangs is broken."""
        with self._guard:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.over.set()
        self._copies.every = 0
        self.listen()

    def restart_empty(self) -> None:
        """As a stop and start of a server that keeps everything in memory: its queues are gone."""
        upstream = self.connect()
        upstream.ask(Request("POST", "/moto-api/reset", {}))
        upstream.close()
        self._receipts, self._copies, self._sent = Receipts(), Copies(), Deduplication()
        self._allow_policies = AllowPolicies()

    def keep_allow_policy(self, queue: str, policy: str) -> None:
        """The redrive-allow policy of a queue that was made by `tests.moto_server`."""
        self._allow_policies.kept[queue] = policy

    def move_messages(self, source: str, target: str) -> int:
        """AWS's own redrive: what is visible in the queue `source` goes to `target` as new messages; how many."""
        upstream = self.connect()
        try:
            return move(lambda action, content: upstream.ask(_request(action, content)), source, target)
        finally:
            upstream.close()

    # What comes of a request

    def answer(self, request: Request, upstream: Upstream) -> Answer:
        service, _, action = request.headers.get("x-amz-target", "").partition(".")
        if service != "AmazonSQS":
            return upstream.ask(request)
        with self._guard:
            self.counts[action] += 1
        if answer := self._before(action):
            return answer
        answer = self._strictly(action, request, upstream)
        self._after(action)
        return answer

    def _be(self, does: Any, actions: Iterable[str] | None, times: int | None, answer: Answer | None = None) -> None:
        with self._guard:
            self._faults.append(Fault(does, None if actions is None else frozenset(actions), times, answer))

    def _fault(self, action: str, *does: str) -> Fault | None:
        with self._guard:
            fault = next((fault for fault in self._faults if fault.does in does and fault.concerns(action)), None)
            if fault is not None and fault.left is not None:
                fault.left -= 1
            return fault

    def _before(self, action: str) -> Answer | None:
        fault = self._fault(action, "answer", "hang", "break")
        if fault is None:
            return None
        if fault.does == "hang":
            fault.over.wait()
        if fault.answer is None:
            raise Broken
        return fault.answer

    def _after(self, action: str) -> None:
        fault = self._fault(action, "hang", "break", "lose")
        if fault is None:
            return
        if fault.does == "hang":
            fault.over.wait()
        raise Broken

    def _strictly(self, action: str, request: Request, upstream: Upstream) -> Answer:
        content = json.loads(request.body or b"{}")
        queue = str(content.get("QueueUrl") or content.get("QueueName") or content.get("SourceArn") or "")
        queue = re.split("[/:]", queue)[-1]
        if not self.allows(_access_key(request), SINGLE_ACTION.get(action, action), queue):
            text = f"User is not authorized to perform: sqs:{SINGLE_ACTION.get(action, action).lower()} on resource: {queue}"
            return error("AccessDenied", text, status=403)

        def forward(action: str, content: Content) -> Answer:
            target = {"x-amz-target": f"AmazonSQS.{action}"}
            return upstream.ask(replace(request, headers={**request.headers, **target}, body=json.dumps(content).encode()))

        match action:
            case "ReceiveMessage":
                return self._receive(queue, content, forward)
            case "SendMessage" | "SendMessageBatch" if queue.endswith(".fifo"):
                return self._sent.send(queue, action, content, forward)
            case "DeleteMessage" | "ChangeMessageVisibility":
                return self._receipts.single(queue, action, content, forward)
            case "DeleteMessageBatch" | "ChangeMessageVisibilityBatch":
                return self._receipts.batch(queue, action, content, forward)
            case "SetQueueAttributes":
                return self._allow_policies.keep(queue, content, forward)
            case "GetQueueAttributes":
                return self._allow_policies.tell(queue, content, forward)
            case "DeleteQueue":
                return self._allow_policies.forget(queue, content, forward)
            case "StartMessageMoveTask":
                return start_move(content, forward)
        return upstream.ask(request)

    def _receive(self, queue: str, content: Content, forward: Forward) -> Answer:
        if copies := self._copies.take(queue, content.get("MaxNumberOfMessages", 1)):
            self._receipts.given(queue, copies, content.get("VisibilityTimeout"))
            return ok({"Messages": copies})
        answer = forward("ReceiveMessage", content)
        messages = json.loads(answer.body).get("Messages", []) if answer.status == 200 else []
        self._receipts.given(queue, messages, content.get("VisibilityTimeout"))
        self._copies.delivered(queue, messages)
        return answer


def _request(action: str, content: Content) -> Request:
    scope = f"{KEY}/20250101/{REGION}/sqs/aws4_request"
    headers = {
        "x-amz-target": f"AmazonSQS.{action}",
        "content-type": "application/x-amz-json-1.0",
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    return Request("POST", "/", headers, json.dumps(content).encode())


def _access_key(request: Request) -> str:
    found = re.search(r"Credential=([^/]+)/", request.headers.get("authorization", ""))
    return found[1] if found else ""
