"""`newsmill searches` and `newsmill alerts`: from a saved search to a failing alert in `newsmill status`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from command_result import Newsmill
from receiver import receiver
from rows import Mill, document_of, good, links

from newsmill import settings
from newsmill.cli.alerts import describe_schedule
from newsmill.context import open_context
from newsmill.notifications.alerts import AlertSender
from newsmill.notifications.loop import SenderLoop
from newsmill.storage.alert_schedule import Schedule, make_schedule
from newsmill.web.alert_messages import AlertMessages


def test_a_saved_search_and_its_alerts(newsmill: Newsmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSMILL_ALLOW_NETS", "127.0.0.2")
    with open_context(settings.load(), create=True):
        pass
    assert "run `newsmill searches add" in newsmill("searches", "list").err
    assert newsmill("searches", "add", "Ports", "harbour", "-ferry").code == 0
    assert newsmill("searches", "add", "Ports", "x").code == 2
    assert "only excludes" in newsmill("searches", "add", "Nothing", "-ferry").err
    assert newsmill("searches", "add", "Later", "is:starred").err.startswith("New documents have no star, tag or note: ")
    assert newsmill("searches", "remove", "Later").code == 0
    assert newsmill("searches", "rename", "Port", "x").err.count("'Ports'") == 1
    with receiver() as inbox:
        assert newsmill("alerts", "add", "Ports", "email", "ann@example.org").code == 2
        wrong = newsmill("alerts", "add", "Ports", "foo", "x")
        assert (wrong.code, "Invalid value for 'CHANNEL': 'foo' is not one of 'email', 'webhook', 'apprise'." in wrong.err) == (2, True)
        added = newsmill("alerts", "add", "Ports", "webhook", inbox.url, "--schedule", "daily", "--zone", "Europe/Berlin")
        alert, secret = added.out.split()
        assert "keep the secret" in added.err
        assert secret.startswith("whsec_") and newsmill("alerts", "test", alert).code == 0 and len(inbox.got) == 1
        inbox.statuses = [500]
        failed = newsmill("alerts", "test", alert)
        assert (failed.code, "the receiver answered 500" in failed.err) == (1, True)
        assert [newsmill("alerts", do, alert).code for do in ("pause", "resume")] == [0, 0]
        inbox.statuses = [500]
        with open_context(settings.load()) as store:
            mill = Mill(store.ledger, now=store.now())
            (claim,) = mill.fetch(*links(1))
            mill.store(good(claim, document_of(claim.url, title="Harbour", first_seen_at=store.now())))
            tomorrow = replace(store, now=lambda: store.now() + timedelta(days=1))
            assert SenderLoop([AlertSender(tomorrow, AlertMessages(tomorrow))], tomorrow.now).run_round() == 1
    (listed,) = newsmill("alerts", "list", "--json").json
    assert (listed["attempts"], listed["detail"], "secret" in listed) == (1, "the receiver answered 500", False)
    status = newsmill("status")
    assert f"WARNING: alert {alert} on 'Ports'" in status.out and "1 document waiting: the receiver answered 500" in status.out
    assert "failing since" in newsmill("alerts", "list").out
    assert newsmill("searches", "rename", "Ports", "Harbours").code == 0
    (search,) = newsmill("searches", "list", "--json").json
    assert (search["name"], search["query"], search["user"], search["new"]) == ("Harbours", "harbour -ferry", "", 1)
    assert newsmill("alerts", "remove", alert).code == 0 and newsmill("alerts", "remove", alert).code == 2
    assert newsmill("searches", "remove", "Harbours").code == 0 and newsmill("searches", "remove", "Harbours").code == 2


@pytest.mark.parametrize(
    "words",
    [("search", "x", "--after", "2026"), ("search", "--limt=3"), ("searches", "add", "a", "--foo"), ("stories", "list", "--big")],
)
def test_an_unknown_option_is_no_word_of_a_query(newsmill: Newsmill, words: Sequence[str]) -> None:
    done = newsmill(*words)
    assert done.code == 2 and "no such option; a query has filters instead" in done.err


@pytest.mark.parametrize(
    ("schedule", "described"),
    [
        (make_schedule("at_once"), "at_once"),
        (make_schedule("hourly"), "hourly"),
        (make_schedule("daily", 8, zone="Europe/Berlin"), "daily 08:00 Europe/Berlin"),
        (make_schedule("weekly", 12), "weekly Monday 12:00 UTC"),
        (make_schedule("weekly", 9, 6), "weekly Sunday 09:00 UTC"),
    ],
)
def test_a_schedule_is_shown_with_its_day(schedule: Schedule, described: str) -> None:
    assert describe_schedule(schedule) == described
