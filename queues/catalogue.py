"""The one description of the queues. Everything about a queue is derived from its entry here.

A kind is a sort of work; the same word is its module in `tasks/`, its Celery task and queue, its process in the Procfile, its
`-Q` word and the API's `type`.
"""

from __future__ import annotations

from dataclasses import dataclass

from queues import limits
from settings import settings

DAY = 86_400
NORMAL, HIGH = "normal", "high"
"""The lanes, by the priorities of the jobs in them."""
DEAD_LETTER_RETENTION_SECONDS = 14 * DAY


class CatalogueError(Exception):
    """An entry of the catalogue contradicts itself or SQS's limits."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of job and the queue that carries it. Durations are in seconds.

    `visibility_seconds` is the queue's own attribute, for consumers that don't renew it (Lambda, the AWS command line);
    workers ask for `LEASE_SECONDS` and five more at each receive.
    """

    name: str
    purpose: str
    visibility_seconds: int
    retention_seconds: int
    max_receives: int
    max_attempts: int
    max_seconds: int
    slots: int
    cpu: bool = False
    """Its handler works the processor: it runs in a child process, not in a slot's thread."""
    fifo: bool = False
    """Its jobs are done in the order of their submission, for each user."""
    internal: bool = False
    """Other jobs bring its jobs about: lists show them only where they are asked for, and ordering one takes an operator."""
    has_high_lane: bool = False
    """Jobs of high priority have a queue of their own, which the same workers ask first."""
    alarm_depth: int = 1_000
    """More messages than this waiting are an alarm."""
    backoff_seconds: int = 2
    backoff_most_seconds: int = 600

    def __post_init__(self) -> None:
        faults = [text for broken, text in self._rules() if broken]
        if faults:
            raise CatalogueError(f"kind {self.name!r}: " + "; ".join(faults))

    def _rules(self) -> list[tuple[bool, str]]:
        retention = limits.RETENTION_SECONDS_LEAST, limits.RETENTION_SECONDS_MOST
        return [
            (not self.name.isidentifier() or not self.name.islower(), "the name must be a lower-case word, as a module's is"),
            (len(self.dead_letter_name) > limits.QUEUE_NAME_CHARACTERS - 40, "the name leaves no room for QUEUE_PREFIX"),
            (not 1 <= self.visibility_seconds <= limits.VISIBILITY_SECONDS, "visibility_seconds must be 1 to 43,200"),
            (not retention[0] <= self.retention_seconds <= retention[1], "retention_seconds must be 60 to 1,209,600"),
            (not 1 <= self.max_receives <= limits.MAX_RECEIVES_MOST, "max_receives must be 1 to 1,000"),
            (self.max_attempts < 1, "max_attempts must be at least 1"),
            (self.max_seconds < 1, "max_seconds must be at least 1"),
            (self.fifo and self.has_high_lane, "an order and a high lane contradict each other"),
            (self.alarm_depth < 1, "alarm_depth must be at least 1"),
            (self.slots < 1, "slots must be at least 1"),
            (not 0 < self.backoff_seconds <= self.backoff_most_seconds, "backoff_seconds must be above 0 and within its most"),
        ]

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes, the first to be asked first."""
        return (HIGH, NORMAL) if self.has_high_lane else (NORMAL,)

    def queue_name(self, lane: str = "normal") -> str:
        """The SQS queue's name without `QUEUE_PREFIX`. A lane that the kind has not is the normal one."""
        return self._named("high" if lane == HIGH and self.has_high_lane else "")

    @property
    def dead_letter_name(self) -> str:
        """The queue for what can't go on, of all lanes."""
        return self._named("dlq")

    def group_of(self, user_id: str) -> str | None:
        """Whose jobs are done one after another, in the order of their submission; None where no order is kept."""
        return f"user-{user_id}" if self.fifo else None

    def _named(self, suffix: str) -> str:
        return "-".join(filter(None, (self.name, suffix))) + (".fifo" if self.fifo else "")


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="articles",
            purpose="an article from a topic, keywords or an outline",
            visibility_seconds=300,
            retention_seconds=14 * DAY,
            max_receives=3,
            max_attempts=3,
            max_seconds=1_800,
            slots=16,
            has_high_lane=True,
        ),
        Kind(
            name="images",
            purpose="an image from a prompt",
            visibility_seconds=180,
            retention_seconds=14 * DAY,
            max_receives=3,
            max_attempts=3,
            max_seconds=900,
            slots=16,
            has_high_lane=True,
        ),
        Kind(
            name="videos",
            purpose="a video from a prompt, or one that is fetched and transcoded",
            visibility_seconds=900,
            retention_seconds=4 * DAY,
            max_receives=3,
            max_attempts=3,
            max_seconds=14_400,
            slots=16,
            has_high_lane=True,
        ),
        Kind(
            name="documents",
            purpose="a resume as a PDF",
            visibility_seconds=300,
            retention_seconds=4 * DAY,
            max_receives=3,
            max_attempts=3,
            max_seconds=600,
            slots=4,
            cpu=True,
            alarm_depth=100,
        ),
        Kind(
            name="thumbnails",
            purpose="an image, or a frame of a video, in small sizes",
            visibility_seconds=300,
            retention_seconds=DAY,
            max_receives=3,
            max_attempts=3,
            max_seconds=600,
            slots=4,
            cpu=True,
        ),
        Kind(
            name="resumes",
            purpose="a change of a resume, after all that its user ordered before",
            visibility_seconds=30,
            retention_seconds=DAY,
            max_receives=limits.MAX_RECEIVES_MOST,  # a message wakes its group as often as it takes
            max_attempts=3,
            max_seconds=60,
            slots=16,
            fifo=True,
            alarm_depth=100,
        ),
        Kind(
            name="emails",
            purpose="a mail about what was done",
            visibility_seconds=60,
            retention_seconds=2 * DAY,
            max_receives=5,
            max_attempts=5,
            max_seconds=120,
            slots=8,
            internal=True,
            backoff_seconds=30,
        ),
        Kind(
            name="webhooks",
            purpose="the news of a job's end, for the address that its order named",
            visibility_seconds=60,
            retention_seconds=2 * DAY,
            max_receives=5,
            max_attempts=5,
            max_seconds=60,
            slots=32,
            internal=True,
            backoff_seconds=60,  # a receiver's restart takes a minute, and must not use all tries up
        ),
        Kind(
            name="analytics",
            purpose="the counting of what readers and viewers did",
            visibility_seconds=30,
            retention_seconds=DAY,
            max_receives=2,
            max_attempts=2,
            max_seconds=60,
            slots=16,
            internal=True,
        ),
    )
}


def internal_kinds() -> list[str]:
    """The kinds whose jobs other jobs bring about."""
    return [kind.name for kind in KINDS.values() if kind.internal]


def kind_named(name: str) -> Kind:
    """The entry of `name`.

    Raises:
        KeyError: there is no such kind; the message names those there are.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise KeyError(f"no kind {name!r}; there are {', '.join(KINDS)}") from None


def prefixed(queue_name: str) -> str:
    """The name a queue has at SQS."""
    return settings().queue_prefix + queue_name
