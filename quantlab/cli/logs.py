"""Logging of quantlab's processes: to stderr, readable in a terminal, else one JSON object a line; without secrets.

Rooms log with `logging.getLogger(__name__)`. Every line of ours and of libraries goes through one handler: message,
fields and tracebacks are redacted as its processors, and tracebacks never show local variables. What libraries say of
each request (ccxt, httpx and aiohttp show signed addresses) stays below the level that is written.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from typing import Any

from quantlab.redact import redact

#: At DEBUG and INFO these write addresses with signatures, headers with keys, or one line for each request.
CHATTY = tuple("aiohttp asyncio ccxt httpcore httpx matplotlib parso requests urllib3 uvicorn websockets".split())


def configure(*, as_json: bool, level: int = logging.INFO) -> None:
    """Write what is logged from `level` on (libraries: warnings) to stderr; Python's warnings and what ends a thread
    too. Costs nothing until the first line: structlog is imported for it. Calling it again replaces the handler."""
    handler = _Handler(as_json)
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("quantlab").setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread


class _Handler(logging.StreamHandler[Any]):
    """To stderr, whatever it is at the time. Makes its formatter at the first record."""

    def __init__(self, as_json: bool) -> None:
        super().__init__(sys.stderr)
        self._as_json = as_json
        self.addFilter(_with_text)

    def emit(self, record: logging.LogRecord) -> None:
        if self.formatter is None:
            self.setFormatter(_formatter(self._as_json))
        self.stream = sys.stderr
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Python's own prints the record's arguments as they are."""
        kind = sys.exc_info()[0]
        try:
            print(f"quantlab: a line of {record.name} could not be logged ({kind and kind.__name__})", file=sys.stderr)
        except (OSError, ValueError):
            return  # stderr is closed: there is nobody to tell


def _with_text(record: logging.LogRecord) -> bool:
    """A record whose arguments do not fit its message keeps the message."""
    try:
        record.getMessage()
    except Exception:  # whatever str() and % of a caller's objects may raise
        record.msg, record.args = str(record.msg) if isinstance(record.msg, str) else "an object without text", ()
    return True


def _formatter(as_json: bool) -> logging.Formatter:
    import structlog
    from structlog.stdlib import ProcessorFormatter

    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if not as_json:
        # structlog's own default for a terminal is a traceback with the values of all local variables.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain, pad_event_to=0)
    first: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    last = [structlog.processors.format_exc_info, ProcessorFormatter.remove_processors_meta, redacted, renderer]
    # A library's own structlog loggers come the same way.
    structlog.configure(
        processors=[*first[:-1], ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return ProcessorFormatter(foreign_pre_chain=first, processors=last)


def redacted(logger: Any, method: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """A structlog processor: every text of a line without secrets, and every other object as redacted text."""
    return {redact(str(name)): _clean(value) for name, value in event.items()}


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return redacted(None, "", value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    try:
        return redact(str(value))
    except Exception:
        return f"a {type(value).__name__} without text"


def _log_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread is not None else "unknown"
    trace = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    logging.getLogger("quantlab").error("thread %s ended by an error", name, exc_info=trace)
