"""One logging set-up for hub, reconciler and command line: one JSON object a line."""

import logging
import sys
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO, cast
from uuid import uuid4

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

request_id: ContextVar[str] = ContextVar("petrihub_request_id", default="")

_FIELD_LIMIT = 500  # characters; a name of a megabyte must not become a log line of a megabyte


def new_request_id() -> str:
    """Start a new request: its id is in every line that this task writes from here on."""
    fresh = uuid4().hex[:12]
    request_id.set(fresh)
    return fresh


def _with_request_id(_: "WrappedLogger", __: str, event: "EventDict") -> "EventDict":
    current = request_id.get()
    if current:
        event["request_id"] = current
    return event


def _bounded(_: "WrappedLogger", __: str, event: "EventDict") -> "EventDict":
    for key, value in event.items():
        if isinstance(value, str) and key != "exception" and len(value) > _FIELD_LIMIT:
            event[key] = value[:_FIELD_LIMIT] + "…"
    return event


class _StandardError:
    """Standard error; where a line cannot be written, such as to a full disk, only it is lost."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def configure_logs(component: str, *, level: str = "INFO") -> None:
    """Write JSON lines to standard error, each with the component's name and the request id."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _with_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _bounded,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(component=component)


def get_logger(name: str) -> "FilteringBoundLogger":
    """A logger whose lines carry `name`; values go in keywords, never into the sentence."""
    logger: FilteringBoundLogger = structlog.get_logger(origin=name)
    return logger
