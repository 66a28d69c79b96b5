"""`/metrics` for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse

from newsmill.context import AppContext
from newsmill.exceptions import ServiceError
from newsmill.storage.alerts import Alerts
from newsmill.storage.operation_statistics import OperationStatistics
from newsmill.storage.processes import list_live_processes
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.tokens import Scope
from newsmill.version import __version__
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context

ROLES = ("crawler", "scheduler", "web", "worker")

metrics_router = APIRouter(include_in_schema=False)


class MetricsResponse(PlainTextResponse):
    media_type = "text/plain; version=0.0.4"


@dataclass(frozen=True, slots=True)
class Metric:
    """One gauge: `values` by the value of `label`, or one value under "" without a label."""

    name: str
    help: str
    values: Mapping[str, float]
    label: str = ""


@metrics_router.get("/metrics", dependencies=[Depends(require_scope(Scope.READ))])
def get_metrics(context: Context) -> MetricsResponse:
    """The figures of the store in the text format of Prometheus. Raises ServiceError when the database does not answer."""
    return MetricsResponse("".join(map(format_metric, read_metrics(context))))


def format_metric(metric: Metric) -> str:
    """The lines of a metric. Values of labels are names of Newsmill's own, which need no escape.

    >>> print(format_metric(Metric("newsmill_processes", "Live processes.", {"crawler": 1}, "role")), end="")
    # HELP newsmill_processes Live processes.
    # TYPE newsmill_processes gauge
    newsmill_processes{role="crawler"} 1
    """
    name = metric.name
    labels = {value: f'{{{metric.label}="{value}"}}' if metric.label else "" for value in metric.values}
    lines = [f"# HELP {name} {metric.help}", f"# TYPE {name} gauge", *(f"{name}{labels[key]} {n}" for key, n in metric.values.items())]
    return "\n".join(lines) + "\n"


def read_metrics(context: AppContext) -> Iterator[Metric]:
    """The metrics. A figure that is not known now, such as the length of the queue of a Redis that does not answer, is left out."""
    progress, statistics = context.ledger.progress.count(), OperationStatistics(context.engine)
    space, disk = statistics.space(), context.archive.disk_usage()
    newest = context.documents.newest_time()
    roles = Counter(process.role for process in list_live_processes(context.engine, now=context.now()))
    alarms = Counter(alarm.finding.cause.value for alarm in SourceAlarms(context.engine).list_open())
    try:
        depth = context.queue_depth()
    except ServiceError:
        depth = None
    yield Metric("newsmill_info", "The version of the web process.", {__version__: 1}, "version")
    yield Metric("newsmill_documents", "Stored documents.", {"": context.documents.estimate_count()[0]})
    yield Metric("newsmill_doubtful_documents", "Documents with a low confidence.", {"": context.documents.count_doubtful()})
    if newest is not None:
        yield Metric("newsmill_newest_document_timestamp_seconds", "When the newest document was first seen.", {"": newest.timestamp()})
    yield Metric("newsmill_pages", "Pages by state.", {state.value: n for state, n in progress.states.items()}, "state")
    yield Metric("newsmill_page_outcomes", "Pages by outcome.", {outcome.value: n for outcome, n in progress.outcomes.items()}, "outcome")
    yield Metric("newsmill_pending_urls", "Pages and listings without an outcome.", {"": progress.pending})
    yield Metric("newsmill_deferred_pages", "Pages with expensive or crashed extraction.", {"": context.ledger.deferred.count()})
    yield Metric("newsmill_redis_up", "Whether Redis answers.", {"": int(depth is not None)})
    if depth is not None:
        yield Metric("newsmill_queue_segments", "Segments that wait for a worker, about 32 pages each.", {"": depth})
    yield Metric("newsmill_processes", "Live processes by role.", {role: roles[role] for role in ROLES}, "role")
    followed, paused = statistics.count_sources()
    yield Metric("newsmill_sources", "Sources, followed or paused.", {"followed": followed, "paused": paused}, "state")
    yield Metric("newsmill_source_alarms", "Open alarms by cause.", alarms, "cause")
    yield Metric("newsmill_failing_alerts", "Alerts of users that cannot be delivered.", {"": len(Alerts(context.engine).list_failing())})
    yield Metric("newsmill_archive_bytes", "Size of the archive.", {"": space.archive})
    yield Metric("newsmill_database_bytes", "Size of the database.", {"": space.database})
    if disk is not None:
        yield Metric("newsmill_archive_disk_free_bytes", "Free space on the disk of the archive.", {"": disk.free})
