"""How the long-running processes log: one line per event on standard error, `time level logger event key=value …`."""

from __future__ import annotations

import logging
import sys


def configure(level: str) -> None:
    """Send the standard library's and structlog's events to standard error in one form. Libraries speak from WARNING on."""
    import structlog

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    order = ["timestamp", "level", "logger", "event"]
    final: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.KeyValueRenderer(key_order=order, sort_keys=True),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for library in ("scrapy", "twisted", "rq", "redis", "asyncio", "trafilatura", "htmldate", "alembic", "fsspec", "urllib3"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))
