"""A search is saved from its page, shown with what is new, and changed; alerts are added, tested and removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lxml import html
from page_client import HTML, read, text_of, token
from receiver import receiver
from site_of_tests import RunningApp, stock

from newsmill import settings
from newsmill.notifications.alerts import AlertSender, TestSender
from newsmill.storage.changes import Changes
from newsmill.web.alert_messages import AlertMessages
from newsmill.web.config import WebConfig


def test_a_search_from_its_page_to_its_end(make_web: Callable[..., RunningApp]) -> None:
    web = make_web(WebConfig(sends_webhooks=False))
    web.context = replace(web.context, settings=settings.load({"NEWSMILL_ALLOW_NETS": "127.0.0.2"}))
    web.app.state.context, web.app.state.test_sender = web.context, TestSender(web.context, AlertMessages(web.context))
    stock(web)
    client = web.browser()
    assert client.post("/searches", data={"q": "harbour", "name": "Ports"}, headers=HTML).status_code == 403, "without the form"
    form = {"csrf": token(client, "/search?q=harbour")}
    assert "1 to 100 printable" in client.post("/searches", data=form | {"q": "harbour", "name": "x" * 101}, headers=HTML).text
    saved = client.post("/searches", data=form | {"q": "harbour", "name": "Ports"}).headers["location"].partition("?")[0]
    assert read(client, saved).xpath("//section[@aria-labelledby='results']//li"), "it opens on what it finds"
    stock(web, 3, ago=-5, fetched_at=web.context.now())
    AlertSender(web.context, AlertMessages(web.context)).match(Changes(web.context.engine).end(), web.context.now())
    assert "Ports 3 new" in text_of(read(web.reader, "/search")), "a session that a link opened is that of anyone"
    shown = read(client, saved)
    assert len(shown.xpath("//ol[@class='documents']/li//*[@class='state on']")) == 3
    assert not read(client, saved).xpath("//*[@class='state on']"), "the user has looked"
    assert "Ports" in text_of(read(client, "/searches"))
    for query, is_noted in {"is:starred": True, "harbour -tag:x": False}.items():
        page = read(client, client.post("/searches", data=form | {"q": query, "name": query}).headers["location"])
        assert ("have no star" in text_of(page)) == is_noted
    assert text_of(read(client, "/search")).find("Ports 3") == -1

    with receiver() as inbox:
        alert = form | {"channel": "webhook", "target": inbox.url, "schedule": "daily", "hour": "8", "zone": "Mars"}
        refused = client.post(f"{saved}/alerts", data=alert, headers=HTML)
        assert refused.status_code == 422 and "Europe/Berlin" in refused.text and inbox.url in refused.text
        added = client.post(f"{saved}/alerts", data=alert | {"zone": "Europe/Berlin"}, headers=HTML)
        assert added.status_code == 200 and "whsec_" in added.text
        (action,) = set(read(client, saved).xpath("//form[contains(@action, '/alerts/')]/@action"))
        assert "handed over" in client.post(action, data=form | {"do": "test"}, headers=HTML).text
        assert len(inbox.got) == 1
        inbox.statuses = [500]
        assert "answered 500" in client.post(action, data=form | {"do": "test"}, headers=HTML).text
    for do, words in (("pause", "Alert paused."), ("resume", "Alert resumed."), ("remove", "Alert removed.")):
        answer = client.post(action, data=form | {"do": do})
        assert answer.status_code == 303 and words in text_of(read(client, answer.headers["location"]))
    assert client.post(f"{saved}/alerts", data=form | {"channel": "email", "target": "ann@example.org"}, headers=HTML).status_code == 422

    client.post("/searches", data=form | {"q": "ferry", "name": "Ferries"})
    taken = html.document_fromstring(client.post(saved, data=form | {"do": "rename", "name": "Ferries"}, headers=HTML).text)
    assert "exists already" in text_of(taken) and taken.xpath("//input[@id='f-name']/@value") == ["Ferries"], "what was typed is kept"
    assert client.post(saved, data=form | {"do": "rename", "name": "Harbours"}).headers["location"].endswith("?done=renamed")
    assert "Harbours" in text_of(read(client, saved))
    answer = client.post(saved, data=form | {"do": "remove"})
    assert "Search removed." in text_of(read(client, answer.headers["location"]))
    read(client, saved, 404)
