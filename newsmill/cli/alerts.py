"""`newsmill alerts`: messages about new matches of saved searches."""

from __future__ import annotations

from calendar import day_name
from typing import Annotated, Any

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.searches import Name, User, find_search
from newsmill.cli.terminal import Json, format_count, note, print_json, print_table
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.storage.alert_schedule import Frequency, Schedule, make_schedule
from newsmill.storage.alerts import Alert, Alerts, AlertState, Channel
from newsmill.storage.saved_searches import ANYONE

alerts = typer.Typer(no_args_is_help=True, help="List, add, test, pause, resume and remove alerts on saved searches.")

AlertId = Annotated[str, typer.Argument(metavar="ID", help="ID of the alert, as in `newsmill alerts list`.")]


@alerts.command("list")
def list_alerts(as_json: Json = False) -> None:
    """List the alerts of all users, with their state and the reason of a failure."""
    with context.open_context(configuration.load()) as store:
        found = Alerts(store.engine).list_all()
    if as_json:
        print_json([alert_record(alert) for alert in found])
    elif found:
        columns = ("id", "search", "user", "by", "target", "schedule", "state", "sent", "problem")
        print_table(columns, [to_row(alert) for alert in found])
    else:
        note("no alert exists; run `newsmill alerts add NAME CHANNEL TARGET`")


@alerts.command("add")
def add_alert(
    name: Name,
    channel: Annotated[Channel, typer.Argument(metavar="CHANNEL", help="email, webhook or apprise.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="E-mail address, URL of a web hook, or Apprise URL of a service.")],
    user: User = ANYONE,
    schedule: Annotated[str, typer.Option("--schedule", help="at_once, hourly, daily or weekly.")] = "at_once",
    hour: Annotated[int, typer.Option("--hour", help="Hour of daily and weekly digests, 0 to 23.")] = 8,
    weekday: Annotated[int, typer.Option("--weekday", help="Day of weekly digests, 0 (Monday) to 6.")] = 0,
    zone: Annotated[str, typer.Option("--zone", help="Time zone of hour and day, such as Europe/Berlin.")] = "UTC",
    language: Annotated[str, typer.Option("--language", help="Language of the messages: en or de.")] = "en",
) -> None:
    """Add an alert on a saved search. `newsmill up` and `newsmill web` send it.

    Prints the ID of the alert. For a web hook, also prints the secret that verifies its messages; it is not shown again.
    """
    # `status` imports this module and needs no channels
    from newsmill.notifications.channels.targets import check_target

    if language not in ("en", "de"):
        raise ConfigError(f"--language: expected en or de, not {language[:20]!r}")
    settings = configuration.load()
    when = make_schedule(schedule, hour, weekday, zone)
    with context.open_context(settings) as store:
        search = find_search(store, user, name)
        added = Alerts(store.engine).add(search, channel, check_target(channel, target, settings), when, now=store.now(), language=language)
    typer.echo(" ".join(filter(None, (added.id, added.secret))))
    if added.secret:
        note("printed: the ID of the alert, and the secret that verifies its messages; keep the secret, it is not shown again")


@alerts.command("test")
def test_alert(alert_id: AlertId) -> None:
    """Send a test message now. Exits with 1 if it does not arrive."""
    # the web package costs 0.9 s of CPU, which the other commands need not spend
    from newsmill.notifications.alerts import TestSender
    from newsmill.web.alert_messages import AlertMessages

    settings = configuration.load()
    with context.open_context(settings) as store:
        alert = find_alert(store, alert_id)
        problem = TestSender(store, AlertMessages(store, settings.web_url)).send(alert)
    if problem is not None:
        raise NewsmillError(f"the test message to {alert.shown_target} did not arrive: {problem}")
    note(f"the test message was handed over to {alert.shown_target}")


@alerts.command("pause")
def pause_alert(alert_id: AlertId) -> None:
    """Pause an alert."""
    with context.open_context(configuration.load()) as store:
        Alerts(store.engine).pause(find_alert(store, alert_id).id)
    note(f"paused {alert_id}")


@alerts.command("resume")
def resume_alert(alert_id: AlertId) -> None:
    """Resume an alert that is paused or that failed too often. It continues with the matches of the last 30 days."""
    with context.open_context(configuration.load()) as store:
        Alerts(store.engine).resume(find_alert(store, alert_id).id, now=store.now())
    note(f"resumed {alert_id}")


@alerts.command("remove")
def remove_alert(alert_id: AlertId) -> None:
    """Remove an alert."""
    with context.open_context(configuration.load()) as store:
        Alerts(store.engine).remove(find_alert(store, alert_id).id)
    note(f"removed {alert_id}")


def find_alert(store: AppContext, alert_id: str) -> Alert:
    """The alert. Raises ConfigError if it does not exist."""
    found = Alerts(store.engine).get(alert_id)
    if found is None:
        raise ConfigError(f"alert {alert_id[:80]!r} does not exist; `newsmill alerts list` shows all")
    return found


def to_row(alert: Alert) -> list[object]:
    """One row of the table."""
    return [
        *(alert.id, alert.search.name, alert.search.user or "-", alert.channel.value, alert.shown_target),
        *(describe_schedule(alert.schedule), describe_state(alert)),
        *(alert.sent_at, alert.detail),
    ]


def describe_schedule(schedule: Schedule) -> str:
    """When the messages are sent.

    >>> describe_schedule(Schedule(Frequency.WEEKLY, hour=12, weekday=2))
    'weekly Wednesday 12:00 UTC'
    """
    if schedule.frequency not in (Frequency.DAILY, Frequency.WEEKLY):
        return schedule.frequency.value
    day = f" {day_name[schedule.weekday]}" if schedule.frequency is Frequency.WEEKLY else ""
    return f"{schedule.frequency}{day} {schedule.hour:02}:00 {schedule.zone}"


def describe_state(alert: Alert) -> str:
    """The state, with the start of a failure."""
    if alert.failing_since is None:
        return alert.state.value
    return f"{alert.state if alert.state is AlertState.DEAD else 'failing'} since {alert.failing_since:%Y-%m-%d %H:%M}"


def alert_record(alert: Alert) -> dict[str, Any]:
    """An alert as JSON, without its secret."""
    names = ("id", "channel", "schedule", "language", "created_at", "state", "due_at", "attempts", "next_at", "failing_since", "detail")
    record = {name: getattr(alert, name) for name in (*names, "sent_at")}
    return record | {"search": alert.search.name, "user": alert.search.user, "target": alert.shown_target}


def print_failing(found: list[Alert]) -> None:
    """The lines of `newsmill status` about alerts that fail."""
    for alert in found:
        waiting = format_count(alert.search.matches - alert.notified, "document")
        typer.echo(
            f"WARNING: alert {alert.id} on {alert.search.name!r} to {alert.shown_target}: {describe_state(alert)}, "
            f"{waiting} waiting: {alert.detail}"
        )
