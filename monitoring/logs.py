"""Logs that tell a job's story by its id: one line an event, as text for people or JSON for machines (`LOG_FORMAT`).

Everything that logs through the standard library (Celery, gunicorn, boto3) comes out in the same form.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
import structlog.tracebacks

from monitoring.gathered_lines import GatheredLines
from settings import settings

QUIETER = (
    "botocore",
    "urllib3",
    "pymongo",
    "openai",
    "httpx",
    "httpcore",
    "kombu",
    "celery.app.trace",
    "celery.worker.strategy",
)
"""Libraries whose INFO lines would drown ours. Celery's own lines on each task say less than JobTask's."""

EVENT_WIDTH = 34
_UNCLEAR = re.compile(r"[ \t=\r\n\"']")


def _field(key: str, value: object) -> str:
    is_clear = isinstance(value, str) and not _UNCLEAR.search(value)
    return f"{key}={value if is_clear else repr(value)}"


PLAIN = [
    structlog.dev.Column("", _field),
    structlog.dev.Column("timestamp", lambda key, value: str(value)),
    structlog.dev.Column("level", lambda key, value: f"[{value!s:<9}]"),
    structlog.dev.Column("event", lambda key, value: f"{value!s:<{EVENT_WIDTH}}"),
    structlog.dev.Column("logger", lambda key, value: f"[{value}]"),
]
"""structlog's own line without its colours, at a quarter of the time that these take: every job writes two."""

# What no line of ours shows need not be found out for each.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
logging._srcfile = None  # as its HOWTO says: or each call's place in the source is looked for


def configure_logging(*, gathers: bool = False) -> None:
    """Set up logging for this process. A busy one gathers its lines for some milliseconds."""
    configured = settings()
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
    ]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if configured.log_format == "json":
        rendering: list[Any] = [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
    else:
        in_colours = {"colors": True, "pad_event_to": EVENT_WIDTH} if sys.stderr.isatty() else {"columns": PLAIN}
        rendering = [structlog.dev.ConsoleRenderer(**in_colours, exception_formatter=structlog.dev.plain_traceback)]
    structlog.configure(
        processors=[*common, stamp, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = (GatheredLines if gathers else logging.StreamHandler)(sys.stderr)
    handler.setFormatter(Lines([*common, structlog.stdlib.ExtraAdder(), stamp], rendering))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(configured.log_level)
    if configured.log_level != "DEBUG":
        for name in QUIETER:
            logging.getLogger(name).setLevel(logging.WARNING)


class Lines(structlog.stdlib.ProcessorFormatter):
    """Makes a line of a record. Ours need only be rendered: every job writes some, and on the way of other libraries' records
    they would be copied first, a seventh of a line's time."""

    def __init__(self, shared: list[Any], rendering: list[Any]) -> None:
        super().__init__(foreign_pre_chain=shared, processors=[self.remove_processors_meta, *rendering])
        self._rendering = rendering

    def format(self, record: logging.LogRecord) -> str:
        said: Any = record.msg
        if not isinstance(said, dict):
            return super().format(record)
        said = said.copy()  # other handlers get it as it is
        for process in self._rendering:
            said = process(None, record.levelname.lower(), said)
        return str(said)
