"""An HTTP server on a real socket that generates things, counts what it does, and misbehaves when told to.

The base of `devstack.ai_service` and `tests.openai_server`. It is told what to do by its methods, or over HTTP:

    POST /_control {"behaviour": {"status": 503, "times": 2}, "making": {…}}     GET /_control: counts, behaviour, making
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Lock, Thread
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

CONTROL = "/_control"
LONGEST_BODY_BYTES = 4 * 1024 * 1024

T = TypeVar("T")


class Behaviour(BaseModel):
    """How the server treats the requests whose path starts with `path`: `times` of them, or all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = "/"
    times: int | None = None
    status: int | None = None
    """Answer with this status, and `detail` as the reason."""
    detail: Any = "told to"
    retry_after: str | None = None
    wait_seconds: float = 0
    """A generation takes so long."""
    piece_seconds: float = 0
    """Between two pieces of a stream."""
    cut: bool = False
    """Break the connection in the middle of the answer. What was generated is forgotten."""
    hang: Literal["before", "midway"] | None = None
    """Say no more, until the behaviour changes; then break the connection."""
    broken_json: bool = False


class Making(BaseModel):
    """What the server makes, whoever asks."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    def json(self) -> Any:
        """The body; raises ValueError where it is no JSON."""
        return json.loads(self.body)


class Refusal(Exception):
    """The server won't do this."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class _Broken(Exception):
    """The connection is to be broken here."""


@dataclass
class _Course:
    """A behaviour, how often it is still to be, and what ends its waiting and hanging."""

    behaviour: Behaviour
    interrupt: Event = field(default_factory=Event)
    left: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.behaviour.times

    def takes(self, path: str) -> bool:
        """Whether a request to `path` is treated so; it is counted."""
        if not path.startswith(self.behaviour.path) or self.left == 0:
            return False
        if self.left is not None:
            self.left -= 1
        return True


@dataclass
class _Generation:
    body: bytes
    lock: Lock = field(default_factory=Lock)
    made: list[Any] = field(default_factory=list)


class GeneratingServer(ABC):
    """Listens from its making until `stop`. `generations` counts what was generated, `requests` lists what came."""

    making_type: type[Making] = Making

    def __init__(self, *, port: int = 0, making: Making | None = None) -> None:
        self.requests: list[Received] = []
        self.generations = 0
        self.making = making or self.making_type()
        self.generations_for: Counter[str] = Counter()
        """How often each idempotency key was generated for."""
        self._course = _Course(Behaviour())
        self._courses: dict[str, _Course] = {}
        self._generated: dict[tuple[str, str], _Generation] = {}
        self._changed = Condition()
        self._server = _Listener(("127.0.0.1", port), self)
        self.port = int(self._server.server_address[1])
        self.address = f"http://127.0.0.1:{self.port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening; what hangs is let go."""
        for course in (self._course, *self._courses.values()):
            course.interrupt.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def behave(self, **fields: Any) -> None:
        """Behave so from now on; without arguments: well."""
        course = _Course(Behaviour(**fields))
        with self._changed:
            self._course.interrupt.set()
            self._course = course

    def treat(self, key: str, **fields: Any) -> None:
        """Behave so towards the requests with this idempotency key, whatever holds for the others."""
        course = _Course(Behaviour(**fields))
        with self._changed:
            if earlier := self._courses.get(key):
                earlier.interrupt.set()
            self._courses[key] = course

    def make(self, **fields: Any) -> None:
        """Change what is made; see the server's `Making`."""
        self.making = self.making_type(**{**self.making.model_dump(), **fields})

    def wait_for(self, condition: Callable[[GeneratingServer], bool], timeout_seconds: float = 60) -> None:
        """Wait until `condition` holds, which is looked at with each request."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), timeout_seconds), "the server never saw it"

    def received(self, path: str) -> list[Received]:
        """The requests to paths that start with `path`, oldest first."""
        with self._changed:
            return [request for request in self.requests if request.path.startswith(path)]

    @abstractmethod
    def answer(self, request: Received, reply: Reply) -> None:
        """Do what is asked."""

    def error_body(self, status: int, detail: object) -> Any:
        """The body of an error."""
        return {"detail": detail}

    def generated(self, request: Received, reply: Reply, make: Callable[[], T]) -> T:
        """What `make` returns, or returned for the same idempotency key and body. The same order twice at once waits."""
        key = request.header("Idempotency-Key")
        if not key:
            return self._make(reply, make, "")
        with self._changed:
            generation = self._generated.setdefault((request.path, key), _Generation(request.body))
        if json.loads(generation.body) != request.json():
            raise Refusal(422, "this Idempotency-Key belongs to another request")
        with generation.lock:
            if not generation.made:
                generation.made.append(self._make(reply, make, key))
        if reply.behaviour.cut or reply.behaviour.hang:
            self.forget(request.path, key)
        made: T = generation.made[0]
        return made

    def forget(self, path: str, key: str | None) -> None:
        """Generate again when that key comes next."""
        with self._changed:
            self._generated.pop((path, key or ""), None)

    def _make(self, reply: Reply, make: Callable[[], T], key: str) -> T:
        with self._changed:
            self.generations += 1
            self.generations_for[key] += 1
            self._changed.notify_all()
        reply.interrupt.wait(reply.behaviour.wait_seconds)
        return make()

    def handle(self, handler: _Handler) -> None:
        """One request, from its body to the end of its answer."""
        request = handler.received()
        if request.path == CONTROL:
            self._control(request, Reply(handler, Behaviour(), Event()))
            return
        reply = Reply(handler, *self._behaviour_for(request))
        try:
            if not reply.turned_away(self):
                self.answer(request, reply)
        except Refusal as refusal:
            reply.json(self.error_body(refusal.status, refusal.detail), status=refusal.status)

    def _behaviour_for(self, request: Received) -> tuple[Behaviour, Event]:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            own = self._courses.get(request.header("Idempotency-Key") or "")
            for course in filter(None, (own, self._course)):
                if course.takes(request.path):
                    return course.behaviour, course.interrupt
            return Behaviour(), self._course.interrupt

    def _control(self, request: Received, reply: Reply) -> None:
        if request.method == "POST":
            try:
                wanted = request.json()
                if unknown := set(wanted) - {"behaviour", "making"}:
                    raise ValueError(f"unknown: {', '.join(unknown)}")
                if "behaviour" in wanted:
                    self.behave(**(wanted["behaviour"] or {}))
                self.make(**(wanted.get("making") or {}))
            except (ValueError, TypeError) as error:
                reply.json({"detail": str(error)}, status=422)
                return
        reply.json(
            {
                "generations": self.generations,
                "requests": len(self.requests),
                "behaviour": self._course.behaviour.model_dump(),
                "making": self.making.model_dump(),
            }
        )


class Reply:
    """The answer to one request, given as `behaviour` has it."""

    def __init__(self, handler: _Handler, behaviour: Behaviour, interrupt: Event) -> None:
        self._handler = handler
        self.behaviour = behaviour
        self.interrupt = interrupt

    def turned_away(self, server: GeneratingServer) -> bool:
        """Whether the request was answered without being looked at."""
        if self.behaviour.hang == "before":
            self._hang()
        if self.behaviour.status:
            headers = {"Retry-After": self.behaviour.retry_after} if self.behaviour.retry_after else {}
            self._send(
                json.dumps(server.error_body(self.behaviour.status, self.behaviour.detail)).encode(),
                "application/json",
                self.behaviour.status,
                headers,
            )
        return self.behaviour.status is not None

    def json(self, value: Any, status: int = 200) -> None:
        text = json.dumps(value)
        self._send((text[:-1] if self.behaviour.broken_json else text).encode(), "application/json", status)

    def file(self, content: bytes, content_type: str) -> None:
        self._send(content, content_type, 200)

    def events(self, events: Iterable[str]) -> None:
        """A stream of server-sent events, each the text after `data: `."""
        self._handler.head(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})
        for event in self._misbehaving(list(events)):
            data = f"data: {event}\n\n".encode()
            self._handler.write(b"%x\r\n%s\r\n" % (len(data), data))
        self._handler.write(b"0\r\n\r\n")

    def _misbehaving(self, events: list[str]) -> Iterator[str]:
        middle = len(events) // 2
        for number, event in enumerate(events):
            if number == middle and self.behaviour.hang:
                self._hang()
            if number == middle and self.behaviour.cut:
                raise _Broken
            if number == middle and self.behaviour.broken_json:
                yield event[:-1]
            else:
                yield event
            self.interrupt.wait(self.behaviour.piece_seconds)

    def _send(self, content: bytes, content_type: str, status: int, headers: dict[str, str] | None = None) -> None:
        self._handler.head(status, {"Content-Type": content_type, "Content-Length": str(len(content)), **(headers or {})})
        if self.behaviour.cut or self.behaviour.hang:
            self._handler.write(content[: len(content) // 2])
            if self.behaviour.hang:
                self._hang()
            raise _Broken
        self._handler.write(content)

    def _hang(self) -> None:
        self.interrupt.wait()
        raise _Broken


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a fleet may ask all at once
    block_on_close = False

    def __init__(self, address: tuple[str, int], owner: GeneratingServer) -> None:
        self.owner = owner
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        try:
            self.server.owner.handle(self)
        except (_Broken, ConnectionError):  # the client may go away at any time
            self.close_connection = True

    do_POST = do_GET

    def received(self) -> Received:
        length = min(int(self.headers.get("Content-Length") or 0), LONGEST_BODY_BYTES)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Received(self.command, self.path.partition("?")[0], headers, self.rfile.read(length))

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing; `requests` has it all."""


Model = TypeVar("Model", bound=BaseModel)


def body_of(request: Received, model: type[Model]) -> Model:
    """The body as `model` has it.

    Raises:
        Refusal: it is no JSON, or not what the model says; the detail names the fields as FastAPI does.
    """
    if not (request.header("Content-Type") or "").startswith("application/json"):
        raise Refusal(415, "the body must be application/json")
    try:
        return model.model_validate_json(request.body)
    except ValidationError as error:
        raise Refusal(422, error.errors(include_url=False, include_context=False, include_input=False)) from error
