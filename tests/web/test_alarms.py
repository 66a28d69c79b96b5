"""Alarms of sources with real receivers: one message when a cause begins, one when it is over; a watched output; a bounded command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from mail_server import mail_server
from receiver import receiver
from site_of_tests import RunningApp, stock

from newsmill import settings
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.model import Outcome, OutcomeRecord, Source
from newsmill.notifications.alarms import AlarmSender
from newsmill.notifications.channels.command import run_command
from newsmill.notifications.channels.http_post import DeliveryError
from newsmill.notifications.health_watch import HealthWatch
from newsmill.notifications.loop import SenderLoop
from newsmill.storage.ledger import Ended
from newsmill.storage.outbox import make_secret
from newsmill.web.alarm_messages import AlarmMessages
from newsmill.web.config import WebConfig
from workers.health_checks import check_sources

FEED = "https://alarm.example/rss?a=1&b=%3Cb%3E"


class Installation:
    """A source, the scheduler's checks and the sender, with a clock that the test sets."""

    def __init__(self, web: RunningApp, **environ: str) -> None:
        self.start, self.ahead = web.context.now(), timedelta()
        given = settings.load({"NEWSMILL_ALLOW_NETS": "127.0.0.2/32", **environ})
        self.context = replace(web.context, settings=given, now=lambda: self.start + self.ahead)
        self.watch = HealthWatch(self.context)
        self.sender = AlarmSender(self.context, AlarmMessages(self.context, "https://news.example.org/"))
        self.loop = SenderLoop([self.watch, self.sender], self.context.now)
        self.context.ledger.sources.put(Source("alarm", feeds=(FEED,), discover=False), now=self.start)

    def poll(self, hours: float, outcome: Outcome, detail: str | None = None) -> None:
        """Read the feed at this time, check the sources, and send."""
        self.ahead = timedelta(hours=hours)
        now = self.context.now()
        ledger = self.context.ledger
        ledger.sources.make_listings_due("alarm", now=now)
        ledger.hosts.lease_one("alarm.example", "crawler", seconds=60, now=now)
        (row,) = ledger.url_leases.lease("alarm.example", "crawler", limit=1, seconds=60, now=now)
        ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(outcome, detail))], now=now)
        ledger.hosts.release("alarm.example", "crawler", now=now)
        while check_sources(self.context, now):
            pass
        self.send()

    def send(self) -> None:
        self.watch._next_watch = self.watch._next_ping = 0.0
        while self.loop.run_round():
            pass


def test_one_message_when_a_cause_begins_and_one_when_it_is_over(make_web: Callable[..., RunningApp], tmp_path: Path) -> None:
    got, secret = tmp_path / "command.jsonl", make_secret()
    program = [sys.executable, "-c", f"import sys; open({str(got)!r}, 'a').write(sys.stdin.read() + '\\n')"]
    with receiver() as hook, mail_server() as box:
        web = make_web(WebConfig(sends_webhooks=False))
        mill = Installation(
            web,
            NEWSMILL_SMTP_URL=box.url,
            NEWSMILL_MAIL_FROM="Newsmill <news@example.org>",
            NEWSMILL_HEALTH_ALERTS=f"ops@example.org, {hook.url} http://10.0.0.1/private",
            NEWSMILL_HEALTH_COMMAND=json.dumps(program),
            NEWSMILL_HEALTH_SECRET=secret,
            NEWSMILL_HEALTH_LANGUAGE="de",
        )
        assert mill.sender.targets == ["command", "ops@example.org", hook.url], "a target that is not allowed is left out"
        mill.poll(0, Outcome.LISTED)
        mill.poll(1, Outcome.HTTP_ERROR, "HTTP 403")
        assert hook.got == [], "one failed try is no alarm"
        hook.statuses = [500]
        mill.poll(2, Outcome.HTTP_ERROR, "HTTP 403")
        mill.poll(3, Outcome.HTTP_ERROR, "HTTP 503")
        mill.poll(4, Outcome.HTTP_ERROR, "HTTP 403")
        assert [headers["webhook-id"] for headers, _ in hook.got] == [hook.got[0][0]["webhook-id"]] * 2, "the second is a retry"
        mill.poll(5, Outcome.NOT_MODIFIED)
        mill.poll(6, Outcome.NOT_MODIFIED)
        mill.poll(7, Outcome.HTTP_ERROR, "HTTP 403")
        mill.poll(8, Outcome.HTTP_ERROR, "HTTP 403")
        mill.context.ledger.sources.set_enabled("alarm", False, now=mill.context.now())
        mill.ahead = timedelta(hours=9)
        assert check_sources(mill.context, mill.context.now()) == 1
        assert mill.watch.alarms.list_open() == []
        mill.send()
    begun, ended, again = (json.loads(body) for _, body in hook.got[1:])
    assert again["type"] == "source.alarm.begun", "a source that was paused does not work again"
    assert (begun["type"], ended["type"]) == ("source.alarm.begun", "source.alarm.ended")
    alarm = begun["data"]["alarm"]
    assert (alarm["cause"], alarm["state"], alarm["failure"], alarm["evidence"]["url"]) == (
        "refused",
        "blocked",
        "blocked: HTTP 403",
        FEED,
    )
    assert [json.loads(line)["type"] for line in got.read_text().splitlines()] == [
        *("source.alarm.begun", "source.alarm.ended", "source.alarm.begun")
    ]
    assert len(box.got) == 3
    first, second, _ = (message for _, _, message in box.got)
    assert "alarm: blockiert: Die Website verweigert den Zugriff seit" in str(first["Subject"])
    html = first.get_body(("html",)).get_content()
    assert "rss?a=1&amp;b=%3Cb%3E" in html
    assert "https://news.example.org/sources/alarm" in first.get_body(("plain",)).get_content()
    assert ": Der Alarm ist beendet. Es war: " in str(second["Subject"])


def test_the_end_is_not_reported_before_the_beginning(make_web: Callable[..., RunningApp]) -> None:
    """Otherwise the last message of a target that was away for some minutes says that the alarm has begun."""
    with receiver() as hook, receiver() as other:
        mill = Installation(make_web(WebConfig(sends_webhooks=False)), NEWSMILL_HEALTH_ALERTS=f"{hook.url} {other.url}")
        mill.poll(0, Outcome.LISTED)
        mill.poll(1, Outcome.HTTP_ERROR, "HTTP 403")
        hook.statuses = [500, 500, 500]
        mill.poll(2, Outcome.HTTP_ERROR, "HTTP 403")
        mill.ahead = timedelta(hours=2.05)
        other_process = AlarmSender(replace(mill.context, settings=settings.load({})), AlarmMessages(mill.context))
        assert SenderLoop([other_process], mill.context.now).run_round() == 0, "it has no targets"
        mill.poll(2.1, Outcome.LISTED)
        mill.poll(2.2, Outcome.LISTED)
        assert (len(hook.got), len(other.got)) == (3, 2), "other targets do not wait"
        mill.ahead = timedelta(hours=3)
        mill.send()
    types = [json.loads(body)["type"] for _, body in hook.got]
    assert types == [*["source.alarm.begun"] * 4, "source.alarm.ended"]


def fail() -> None:
    raise ServiceError("no database")


def test_the_output_is_watched_and_the_watcher_is_called_while_all_is_well(
    make_web: Callable[..., RunningApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as hook, receiver() as watcher:
        web = make_web(WebConfig(sends_webhooks=False))
        mill = Installation(
            web,
            NEWSMILL_HEALTH_ALERTS=f"{hook.url} {hook.url}",  # named twice
            NEWSMILL_HEALTH_SILENCE="6h",
            NEWSMILL_HEALTH_PING=watcher.url.replace("hook", "ping"),
        )
        mill.send()
        assert (len(watcher.got), hook.got) == (1, []), "an empty store is no alarm"
        stock(web, 1, first_seen_at=mill.start)
        mill.ahead = timedelta(hours=7)
        mill.send()
        mill.send()
        assert (len(watcher.got), len(hook.got)) == (1, 1), "the watcher is not called, and raises the alarm if nobody else does"
        assert json.loads(hook.got[0][1])["data"]["alarm"]["cause"] == "no_output"
        stock(web, 1, first_seen_at=mill.context.now())
        mill.send()
        assert json.loads(hook.got[1][1])["type"] == "source.alarm.ended"
        assert len(watcher.got) == 2
        with monkeypatch.context() as broken:
            broken.setattr(mill.watch.alarms, "list_open", fail)
            for _ in range(2):
                mill.send()
        assert len(watcher.got) == 2, "the watcher is not called while the database is down"
        mill.send()
        assert len(watcher.got) == 3


def test_an_output_that_is_no_longer_watched_has_no_alarm(make_web: Callable[..., RunningApp]) -> None:
    """Nor a message that it works again."""
    with receiver() as hook:
        web = make_web(WebConfig(sends_webhooks=False))
        stock(web, 1)
        for silence in ("6h", ""):
            mill = Installation(web, NEWSMILL_HEALTH_ALERTS=hook.url, NEWSMILL_HEALTH_SILENCE=silence)
            mill.ahead = timedelta(hours=7)
            mill.send()
            assert (len(mill.watch.alarms.list_open()), len(hook.got)) == (1 if silence else 0, 1)


def test_a_command_is_bounded_and_its_failure_is_a_reason() -> None:
    with pytest.raises(DeliveryError, match="exit code 3"):
        run_command([sys.executable, "-c", "raise SystemExit(3)"], b"{}")
    with pytest.raises(DeliveryError, match="longer than"):
        run_command(["/bin/sh", "-c", "sleep 60 & sleep 60"], b"{}", seconds=0.2)
    with pytest.raises(DeliveryError, match="cannot be started"):
        run_command(["/nowhere/notify"], b"{}")


def test_wrong_settings_are_named() -> None:
    for name, value in (
        ("COMMAND", "notify me"),
        ("COMMAND", '["a", 1]'),
        ("SILENCE", "soon"),
        ("PING", "ftp://a.example"),
        ("SECRET", "abc"),
        ("LANGUAGE", "fr"),
    ):
        with pytest.raises(ConfigError, match=f"NEWSMILL_HEALTH_{name}: expected"):
            settings.load({f"NEWSMILL_HEALTH_{name}": value})
