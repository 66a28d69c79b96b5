"""The page about the crawler, and what the owner of a host can see and order there."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import timedelta

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dns_server import DnsServer
from fake_site import farm
from site_of_tests import RunningApp
from starlette.testclient import TestClient

from newsmill.model import Link, Outcome, OutcomeRecord
from newsmill.network.address_guard import Guard
from newsmill.settings import Settings
from newsmill.storage.ledger import Ended, Postponed
from newsmill.storage.publishers import Publishers
from newsmill.web.config import WebConfig
from newsmill.web.pages.host_proofs import HostProofs, find_record_name, identify_visitor

PUBLIC = "https://news.example.org"


@pytest.fixture
def owner(make_web: Callable[..., RunningApp]) -> tuple[RunningApp, TestClient]:
    """The application, and a browser on the internet, without a token."""
    config = WebConfig(sends_webhooks=False, public_url=PUBLIC, allow_nets=("127.0.0.0/24",))
    web = make_web(config, Settings(contact="https://example.org/?<b>desk</b>", public_url=PUBLIC))
    browser = TestClient(web.app, base_url=PUBLIC, raise_server_exceptions=False, follow_redirects=False)
    return web, browser


def csrf(browser: TestClient, path: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get(path).text)
    assert found is not None
    return found[1]


def post(browser: TestClient, path: str, page: str, **form: str) -> str:
    """Submit a form of `page`; where it leads."""
    answer = browser.post(path, data={"csrf": csrf(browser, page), **form}, headers={"Origin": PUBLIC})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def test_the_page_says_who_runs_the_crawler_in_both_languages(owner: tuple[RunningApp, TestClient]) -> None:
    _, browser = owner
    for language, text in (("en", "About this crawler"), ("de", "Über diesen Crawler")):
        page = browser.get("/bot", headers={"Accept-Language": language}).text
        assert text in page
        assert "?&lt;b&gt;desk&lt;/b&gt;" in page and "<b>desk" not in page
        assert "User-agent: Newsmill" in page
    refused = browser.post("/bot", data={"csrf": csrf(browser, "/bot"), "host": '"><script>'}, headers={"Origin": PUBLIC})
    assert (refused.status_code, "<script>" in refused.text.partition("<main")[2]) == (422, False)
    assert browser.post("/bot", data={"csrf": "x", "host": "a.example"}, headers={"Origin": "https://evil.example"}).status_code == 403


def test_an_owner_proves_the_host_and_sees_and_stops_what_is_fetched(
    owner: tuple[RunningApp, TestClient], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newsmill.web.pages.host_proofs.MAX_FILE_SECONDS", 0.5)  # the site of the test does not answer https
    caplog.set_level(logging.INFO)
    web, browser = owner
    ledger, now = web.context.ledger, web.context.now()
    with farm() as sites:
        site = sites.site()
        ledger.links.add([Link(site.url(f"/{n}?<x>"), found_by="feed", found_on=site.url("/feed")) for n in range(101)], now=now)
        ledger.links.add([Link(site.url("/linked"), found_by="feed", found_on="https://other.example/feed?key=secret")], now=now)
        ledger.links.add([Link("https://other.example/secret")], now=now)
        ledger.hosts.lease("crawler", limit=9, seconds=60, now=now)
        rows = [
            row for host in (site.host, "other.example") for row in ledger.url_leases.lease(host, "crawler", limit=200, seconds=60, now=now)
        ]
        ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.GONE)) for row in rows], now=now)
        path = post(browser, "/bot", "/bot", host=f" http://{site.host}/any ")
        assert path.startswith("/bot/hosts/") and path.endswith(f"/{site.host}")
        page = browser.get(path).text
        proof = re.search(r"<code>([0-9a-f]{40})</code>", page)
        assert proof is not None and "/1?" not in page
        assert post(browser, f"{path}/check", path, method="file") == f"{path}?failed=file"
        site.page("/.well-known/newsmill.txt", redirect=site.page("/elsewhere", proof[1]))
        assert post(browser, f"{path}/check", path, method="file") == f"{path}?failed=file"
        assert browser.post(f"{path}/order", data={"csrf": csrf(browser, path), "action": "stop"}).status_code == 403
        site.page("/.well-known/newsmill.txt", f"{'a line ' * 2_000}\n{proof[1]}\n", content_type="text/plain")
        assert post(browser, f"{path}/check", path, method="file") == f"{path}?failed=file"  # too large
        site.page("/.well-known/newsmill.txt", f"a line\n{proof[1]}\n", content_type="text/plain")
        assert post(browser, f"{path}/check", path, method="file") == path
        page = browser.get(path).text
        assert page.count("<tr><td>") == 100
        assert "secret" not in page and "<x>" not in page and "found on <bdi>" in page and "found on another host" in page
        older = re.search(r'href="([^"]+before=\d+)"', page)
        assert older is not None and browser.get(older[1]).text.count("<tr><td>") == 2
        publishers = Publishers(web.context.engine)
        assert post(browser, f"{path}/order", path, action="stop") == path
        (order,) = publishers.list_orders()
        assert (order.host, order.is_stopped) == (site.host, True)
        ledger.links.add([Link(site.url("/new"))], now=now)
        ledger.hosts.release(site.host, "crawler", now=now)
        assert ledger.hosts.lease("crawler", limit=9, seconds=60, now=now) == []
        assert ledger.hosts.lease_one(site.host, "crawler", seconds=60, now=now) is None
        post(browser, f"{path}/order", path, action="slow", delay="1")
        assert "at least 1 second between" in browser.get(path).text
        post(browser, f"{path}/order", path, action="slow", delay="30")
        assert (publishers.list_orders()[0].is_stopped, publishers.list_orders()[0].delay) == (False, 30.0)
        assert [lease.host for lease in ledger.hosts.lease("crawler", limit=9, seconds=60, now=now)] == [site.host]
        post(browser, f"{path}/order", path, action="resume")
        assert publishers.list_orders() == []
        for form in ({"action": "slow", "delay": "nan"}, {"action": "slow", "delay": "0"}, {"action": "x"}):
            assert browser.post(f"{path}/order", data={"csrf": csrf(browser, path), **form}).status_code == 422
        other_claim = path.replace("/bot/hosts/", "/bot/hosts/x")[: len("/bot/hosts/") + 43] + f"/{site.host}"
        assert "/1?" not in browser.get(other_claim).text  # another reader has another proof
        claim = path.split("/")[3]
        assert browser.get(f"/bot/hosts/{claim}/other.example").text.count("<tr><td>") == 0
        assert browser.get(f"/bot/hosts/short/{site.host}").status_code == 404
        assert claim not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("newsmill"))


def test_an_owner_sees_requests_that_are_tried_again(owner: tuple[RunningApp, TestClient]) -> None:
    """The owner of a host that refuses everything is the one who looks."""
    web, _ = owner
    ledger, now = web.context.ledger, web.context.now()
    ledger.links.add([Link("https://wall.example/a"), Link("https://wall.example/b")], now=now)
    ledger.hosts.lease("crawler", limit=9, seconds=60, now=now)
    refused, stored = ledger.url_leases.lease("wall.example", "crawler", limit=9, seconds=60, now=now)
    failure = OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403")
    ledger.url_endings.end([Ended(stored.id, stored.fence, OutcomeRecord(Outcome.GONE))], now=now)
    at = now + timedelta(seconds=1)
    ledger.url_endings.postpone([Postponed(refused.id, refused.fence, at + timedelta(minutes=1), "HTTP 403", failure=failure)], now=at)
    fetches = Publishers(web.context.engine).list_fetches("wall.example", limit=9)
    assert [(fetch.url[-1], fetch.requested_at, fetch.outcome) for fetch in fetches] == [
        ("b", now, Outcome.GONE),
        ("a", at, Outcome.HTTP_ERROR),
    ]


def test_an_owner_proves_the_host_with_a_dns_record(owner: tuple[RunningApp, TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsmill.web.pages.host_proofs.MAX_LOOKUP_SECONDS", 0.5)
    web, browser = owner
    with DnsServer() as server:
        web.app.state.host_proofs = HostProofs(Guard(), "Newsmill/0.1", server.make_resolver)
        path, name = post(browser, "/bot", "/bot", host="https://www.Example.org/news"), "_newsmill.www.example.org."
        page = browser.get(path, headers={"Accept-Language": "de"}).text
        proof = re.search(r"_newsmill\.www\.example\.org\. IN TXT &#34;([0-9a-f]{40})&#34;", page)
        assert proof is not None and "DNS-Eintrag prüfen" in page

        def check() -> str:
            return post(browser, f"{path}/check", path, method="dns").removeprefix(path)

        def truncate(query: dns.message.Message) -> bytes:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
            return response.to_wire()

        def refuse(query: dns.message.Message) -> bytes:
            response = dns.message.make_response(query)
            response.set_rcode(dns.rcode.REFUSED)
            return response.to_wire()

        def answer_another(query: dns.message.Message) -> bytes:
            other = dns.message.make_query("_newsmill.other.example.org.", "TXT", id=query.id)
            response = dns.message.make_response(other)
            response.answer.append(dns.rrset.from_text("_newsmill.other.example.org.", 300, "IN", "TXT", proof[1]))
            return response.to_wire()

        hostile = ['"<script>alert(1)</script>"', r'"\255\000"', f'"{proof[1]} and more"', *(f'"{n}"' for n in range(900))]
        replies = (
            hostile,
            truncate,
            refuse,
            answer_another,
            lambda query: b"\0" * 12,
            lambda query: query.to_wire()[:2] + b"x",
            lambda _: None,
        )
        for reply in (None, *replies):
            server.replies = {} if reply is None else {name: reply}
            assert check() == "?failed=dns", reply
        shown = browser.get(f"{path}?failed=dns").text
        assert "The DNS record was not found" in shown and "alert(1)" not in shown
        assert server.queries.count(name) == len(server.queries)
        server.replies = {name: ['"v=spf1 -all"', f'"{proof[1][:30]}" "{proof[1][30:]}"']}
        assert check() == ""
        assert "The crawler fetches from this host as robots.txt permits." in browser.get(path).text

        # A visitor has some checks in an hour. Names without a public suffix are not looked up.
        monkeypatch.setattr("newsmill.web.pages.host_proofs.MAX_CHECKS", 3)
        web.app.state.host_proofs = HostProofs(Guard(), "Newsmill/0.1", server.make_resolver)
        server.queries.clear()
        claim = path.split("/")[3]
        for host in ("127.0.0.1:81", "printer.lan", "co.uk"):
            other = f"/bot/hosts/{claim}/{host}"
            assert "IN TXT" not in browser.get(other).text
            assert post(browser, f"{other}/check", other, method="dns") == f"{other}?failed=dns"
        refused = browser.post(f"{path}/check", data={"csrf": csrf(browser, "/bot"), "method": "dns"}, headers={"Origin": PUBLIC})
        assert (refused.status_code, server.queries) == (429, [])
        assert 3500 < int(refused.headers["retry-after"]) <= 3600


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("www.example.org:8080", "_newsmill.www.example.org"),
        ("xn--mnchen-3ya.de", "_newsmill.xn--mnchen-3ya.de"),
        ("[2001:db8::1]:8080", None),
        ("localhost", None),
        ("paper.example", None),
    ],
)
def test_the_record_of_a_host(host: str, name: str | None) -> None:
    assert find_record_name(host) == name


def test_the_addresses_of_one_network_are_one_visitor() -> None:
    assert identify_visitor("2001:db8::1") == identify_visitor("2001:db8::ffff:0:0:1") != identify_visitor("2001:db8:0:1::1")
    assert [identify_visitor(client) for client in ("192.0.2.1", "testclient")] == ["192.0.2.1", "testclient"]


def test_strangers_do_not_learn_which_hosts_are_crawled(owner: tuple[RunningApp, TestClient]) -> None:
    web, browser = owner
    web.context.ledger.links.add([Link("https://www.followed.org/a")], now=web.context.now())
    answers = [browser.post("/bot", data={"csrf": csrf(browser, "/bot"), "host": name}) for name in ("www.followed.org", "www.unheard.org")]
    assert [answer.status_code for answer in answers] == [303, 303]
    shown = [browser.get(answer.headers["location"]).text for answer in answers]
    words = [re.sub("[0-9a-f]{40}|[0-9a-zA-Z_-]{40,}|followed|unheard", "", text) for text in shown]
    assert words[0] == words[1]
