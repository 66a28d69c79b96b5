"""`newsmill status`: sources, documents, outcomes, queue and archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.alerts import alert_record, print_failing
from newsmill.cli.backfill import describe_recent, make_records
from newsmill.cli.sources.listed import COLUMNS, ListedSource, read_listed, to_row
from newsmill.cli.sources.profiles import PROFILE_COLUMNS, to_status_record, to_status_row
from newsmill.cli.sources.state import to_alarm_record, to_health_record
from newsmill.cli.terminal import Json, format_count, format_size, now, print_json, print_table
from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError, ServiceError
from newsmill.health.completeness import Unknown
from newsmill.model import DOUBTFUL_CONFIDENCE, OUTCOMES
from newsmill.settings import Settings
from newsmill.storage.alerts import Alerts
from newsmill.storage.completeness import CompletenessReader, WeekCompleteness, choose_week
from newsmill.storage.processes import list_live_processes
from newsmill.storage.publishers import Publishers
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.websub_requests import WebSubRequests
from newsmill.text.redaction import redact

if TYPE_CHECKING:
    from newsmill.queue.queue import Queue

T = TypeVar("T")
QUEUE_KEYS = ("queue", "refused_jobs", "failed_jobs")
COMPLETENESS_COLUMNS = ("source", "week from", "articles listed", "in no listing (95 %)", "found late")
UNKNOWN_REASONS = {
    Unknown.FEW_ARTICLES: "unknown: too few articles",
    Unknown.ONE_LISTING: "unknown: one listing, or copies of one",
    Unknown.NO_OVERLAP: "unknown: the listings share too few articles",
}


def status(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also show rendered pages, WebSub, completeness and the use of site profiles.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show sources, documents, outcomes, the queue and the size of the archive.

    A page or listing without an outcome is pending; the table of sources counts pages only.
    Exits with 1 if Redis or the archive is unreachable; the rest is shown.
    """
    settings = configuration.load()
    with context.open_context(settings) as store:
        sources = read_listed(store)
        report = collect(store, settings, sources, verbose=verbose or as_json)
        if as_json:
            print_json(report)
        else:
            print_status(store, report, sources)
    if report["unreachable"]:
        raise NewsmillError("; ".join(report["unreachable"]))


def collect(store: AppContext, settings: Settings, sources: Sequence[ListedSource], *, verbose: bool = True) -> dict[str, Any]:
    """The output of `status --json`; without `verbose`, what `status` prints."""
    progress = store.ledger.progress.count()
    unreachable: list[str] = []
    queue = ask(lambda: context.ask_queue(settings, read_queue), unreachable) or dict.fromkeys(QUEUE_KEYS)
    archive_bytes = ask(store.archive.total_bytes, unreachable)
    disk = store.archive.disk_usage()
    report = {
        "data": None if settings.database_url and settings.archive_url else str(context.data_folder(settings)),
        "documents": store.documents.count(),
        "doubtful": store.documents.count_doubtful(),
        "pages": progress.pages,
        "pending": progress.pending,
        "states": progress.states,
        "listings": progress.listings,
        "outcomes": progress.outcomes,
        "queue_url": redact(context.queue_url(settings)),
        **queue,
        "deferred": store.ledger.deferred.count(),
        "takedowns_to_erase": store.takedowns.count_to_erase(),
        "machines_to_erase": [name for name, is_erased in store.takedowns.list_machines(now=now()).items() if not is_erased],
        "archive_bytes": archive_bytes,
        "archive_free_bytes": None if disk is None else disk.free,
        "unreachable": unreachable,
        "failing_alerts": [alert_record(alert) for alert in Alerts(store.engine).list_failing()],
        "publisher_orders": Publishers(store.engine).list_orders(),
        "backfills": make_records(store, [listed.source for listed in sources], store.ledger.backfills.list_all()),
        "alarms": [to_alarm_record(alarm) for alarm in SourceAlarms(store.engine).list_open() if not alarm.source],
        "processes": list_live_processes(store.engine, now=now()),
        "sources": {
            listed.source.name: {
                "enabled": listed.source.enabled,
                "health": to_health_record(listed.health),
                "progress": listed.progress,
            }
            for listed in sources
        },
    }
    if verbose:
        add_details(store, report)
    return report


def read_queue(queue: Queue) -> dict[str, int]:
    """What QUEUE_KEYS name: segments that wait, jobs that were refused, and submitted URLs that another RQ worker failed."""
    return dict(zip(QUEUE_KEYS, (queue.depth(), queue.count_refused(), queue.count_failed_submissions()), strict=True))


def add_details(store: AppContext, report: dict[str, Any]) -> None:
    """Add what only `status --verbose` prints."""
    rendered, weeks = store.ledger.rendering.count_rendered(), CompletenessReader(store.engine).read([*report["sources"]], now())
    report["rendered"] = sum(rendered.values())
    report["websub"] = dict(zip(("announced", "subscribed"), WebSubRequests(store.engine).count(now=now()), strict=True))
    report["profiles"] = [to_status_record(counts) for counts in store.fast_path_stats.newest_counts()]
    for name, source in report["sources"].items():
        source |= {"completeness": weeks[name], "rendered": rendered.get(name, 0)}


def ask(call: Callable[[], T], unreachable: list[str]) -> T | None:
    """The result of a call to a service; None, and its message in `unreachable`, if the service does not answer."""
    try:
        return call()
    except ServiceError as error:
        unreachable.append(str(error))
        return None


def print_status(store: AppContext, report: dict[str, Any], sources: Sequence[ListedSource]) -> None:
    """Print the report as text and tables."""
    for line in (*describe_store(store, report), *list_warnings(report), *describe_recent(report["backfills"], now())):
        typer.echo(line)
    print_failing(Alerts(store.engine).list_failing())
    for alarm in report["alarms"]:
        typer.echo(f"ALARM: no source has given a document since {alarm['evidence']['last_at']}; {alarm['remedy']}")
    roles = Counter(process.role for process in report["processes"])
    running = ", ".join(format_count(count, role) for role, count in roles.items())
    typer.echo(f"running: {running or 'no process; start all with `newsmill up`'}")
    if sources:
        print_table(COLUMNS, [to_row(listed) for listed in sources])
    outcomes = sorted(report["outcomes"].items(), key=lambda pair: -pair[1])
    if any(count for _, count in outcomes):
        print_table(("pages", "outcome", "meaning"), [[count, outcome, OUTCOMES[outcome].meaning] for outcome, count in outcomes if count])
    if "profiles" in report:
        print_details(report, store.settings.public_url)


def describe_store(store: AppContext, report: Mapping[str, Any]) -> Iterator[str]:
    """Documents, queue and archive."""
    documents, pages = format_count(report["documents"], "document"), format_count(report["pages"], "page")
    yield f"{documents} of {pages}; {format_count(report['pending'], 'URL')} pending"
    if report["doubtful"]:
        yield f"doubtful: {report['doubtful']:,} with a confidence below {DOUBTFUL_CONFIDENCE}; check their texts before you use them"
    missing = "unreachable" if store.settings.redis_url else "not running"
    queue = missing if report["queue"] is None else f"{format_count(report['queue'], 'segment')} waiting"
    archive = "unreachable" if report["archive_bytes"] is None else format_size(report["archive_bytes"])
    free = "" if report["archive_free_bytes"] is None else f", {format_size(report['archive_free_bytes'])} free"
    data = f"; data: {report['data']}" if report["data"] else ""
    yield f"queue: {queue}; archive: {archive}{free}{data}"


def list_warnings(report: Mapping[str, Any]) -> Iterator[str]:
    """What an operator should know or do."""
    free = report["archive_free_bytes"]
    if free is not None and free < context.MIN_FREE_BYTES:
        yield "WARNING: the disk of the archive is full; free some space to continue; stored data is not affected"
    if report["refused_jobs"]:
        yield f"WARNING: {format_count(report['refused_jobs'], 'job')} on the queue refused; another program writes to this Redis"
    if report["failed_jobs"]:
        failed = format_count(report["failed_jobs"], "submitted URL")
        yield f"WARNING: {failed} failed in an RQ worker that is not Newsmill's; `newsmill worker` or `newsmill up` takes them back"
    if report["deferred"]:
        yield f"deferred: {format_count(report['deferred'], 'page')} with expensive or crashed extraction; read beside the queue"
    if report["takedowns_to_erase"]:
        takedown = format_count(report["takedowns_to_erase"], "URL")
        yield f"takedowns: {takedown} may still have pages in the archive; run `newsmill takedowns erase`"
    if report["machines_to_erase"]:
        yield f"takedowns: not applied yet to files of past times and images of {', '.join(report['machines_to_erase'])}"
    if report["publisher_orders"]:
        orders = ", ".join(f"{order.host} ({'stopped' if order.is_stopped else 'slowed'})" for order in report["publisher_orders"])
        yield f"orders of site owners, given at /bot: {orders}"


def print_details(report: Mapping[str, Any], public_url: str | None) -> None:
    """Print what `add_details` added."""
    if report["rendered"]:
        by_source = ", ".join(f"{name} {source['rendered']:,}" for name, source in report["sources"].items() if source["rendered"])
        share = f"{100 * report['rendered'] / report['pages']:.0f} %"
        typer.echo(f"rendered in a browser: {format_count(report['rendered'], 'page')} ({share}): {by_source}")
    if report["websub"]["announced"]:
        typer.echo(format_websub(report["websub"], public_url))
    print_completeness(report["sources"])
    if report["profiles"]:
        print_table(PROFILE_COLUMNS, [to_status_row(record) for record in report["profiles"]])


def format_websub(counts: Mapping[str, int], public_url: str | None) -> str:
    """A line about the feeds that announce a hub, and what is missing where Newsmill does not subscribe."""
    announced = f"WebSub: {format_count(counts['announced'], 'feed')} with a hub, {counts['subscribed']:,} subscribed"
    return announced if public_url else f"{announced}; set NEWSMILL_PUBLIC_URL to receive new pages at once"


def print_completeness(sources: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one line for each source of the report with a week, the newest that tells something."""
    weeks = {name: week for name, source in sources.items() if (week := choose_week(source["completeness"])) is not None}
    if weeks:
        rows = [[name, week.week.isoformat(), week.articles, describe_missed(week), week.late] for name, week in weeks.items()]
        print_table(COMPLETENESS_COLUMNS, rows)


def describe_missed(week: WeekCompleteness) -> str:
    """ "at most 1.2 %", or why it is unknown."""
    if week.unknown is not None or week.at_most is None:
        return UNKNOWN_REASONS.get(week.unknown or Unknown.FEW_ARTICLES, "")
    return f"at most {100 * week.at_most:.1f} %"
