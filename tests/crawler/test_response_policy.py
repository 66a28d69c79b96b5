"""Decisions about responses and failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crawler.network.proxy_route import make_refusal_outcome
from crawler.politeness.response_policy import RetryAt, decide_failure, decide_response
from newsmill.model import Kind, Outcome, OutcomeRecord, Page

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def page(status: int = 200, body: bytes = b"<html>", **headers: str) -> Page:
    lines = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Page("http://a.example/x", "http://a.example/x", NOW, status, lines, body)


@pytest.mark.parametrize(
    ("status", "attempts", "outcome"),
    [
        (404, 0, Outcome.GONE),
        (410, 0, Outcome.GONE),
        (400, 0, Outcome.HTTP_ERROR),
        (402, 0, Outcome.HTTP_ERROR),
        (403, 8, Outcome.HTTP_ERROR),
        (401, 1, Outcome.HTTP_ERROR),
        (451, 1, Outcome.HTTP_ERROR),
        (500, 8, Outcome.HTTP_ERROR),
        (429, 8, Outcome.HTTP_ERROR),
        (204, 0, Outcome.HTTP_ERROR),
        (206, 0, Outcome.HTTP_ERROR),
        (304, 1, Outcome.HTTP_ERROR),
    ],
)
def test_outcomes(status: int, attempts: int, outcome: Outcome) -> None:
    record = decide_response(page(status), Kind.PAGE, attempts, NOW)
    assert isinstance(record, OutcomeRecord)
    assert (record.outcome, str(status) in (record.detail or "")) == (outcome, True)


@pytest.mark.parametrize("status", [304, 401, 403, 451, 408, 425, 429, 500, 502, 503, 504, 522])
def test_transient_statuses_are_retried(status: int) -> None:
    failure = OutcomeRecord(Outcome.HTTP_ERROR, f"HTTP {status}")
    expected = RetryAt(NOW + timedelta(minutes=1), f"http_error: HTTP {status}", failure=failure)
    assert decide_response(page(status), Kind.PAGE, 0, NOW) == expected


@pytest.mark.parametrize("status", [403, 429, 500])
def test_waits_grow(status: int) -> None:
    waits = [decide_response(page(status), Kind.PAGE, attempts, NOW) for attempts in range(4)]
    assert [decision.at - NOW for decision in waits if isinstance(decision, RetryAt)] == [
        timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("1200", 1200), ("1e12", 3600), ("Wed, 25 Nov 2026 12:20:00 GMT", 1200), ("Wed, 25 Nov 2020 12:20:00 GMT", 0)],
)
def test_retry_after_pauses_the_host(value: str, seconds: float) -> None:
    until = NOW + timedelta(seconds=seconds)
    for status in (429, 503):
        decision = decide_response(page(status, Retry_After=value), Kind.PAGE, 0, NOW)
        assert isinstance(decision, RetryAt)
        assert (decision.host_until, decision.at) == (until, max(until, NOW + timedelta(minutes=1)))


@pytest.mark.parametrize("value", ["-5", "soon", ""])
def test_invalid_retry_after(value: str) -> None:
    decision = decide_response(page(503, Retry_After=value), Kind.PAGE, 0, NOW)
    assert isinstance(decision, RetryAt)
    assert decision.host_until is None


@pytest.mark.parametrize("kind", ["image/png", "application/pdf", "video/mp4", "application/json", "text/css", "IMAGE/GIF; x=y"])
def test_other_media_types(kind: str) -> None:
    assert decide_response(page(Content_Type=kind), Kind.PAGE, 0, NOW) == OutcomeRecord(Outcome.NOT_HTML, kind.partition(";")[0].lower())


@pytest.mark.parametrize(
    "kind", ["text/html", "text/html;charset=x", "application/xhtml+xml", "text/plain", "application/octet-stream", ""]
)
def test_media_types_of_web_pages(kind: str) -> None:
    assert decide_response(page(Content_Type=kind), Kind.PAGE, 0, NOW) is None


@pytest.mark.parametrize("body", [b"%PDF-1.7", b"\x89PNG\r\n", b"GIF89a", b"PK\x03\x04zip", b"\xff\xd8\xff\xe0"])
def test_a_binary_file_behind_html(body: bytes) -> None:
    record = decide_response(page(body=body, Content_Type="text/html"), Kind.PAGE, 0, NOW)
    assert isinstance(record, OutcomeRecord)
    assert record.outcome is Outcome.NOT_HTML


def test_listings_may_be_anything_and_unchanged() -> None:
    assert decide_response(page(Content_Type="image/png"), Kind.FEED, 0, NOW) is None
    for kind in (Kind.FEED, Kind.PAGE):
        assert decide_response(page(304), kind, 0, NOW, is_conditional=True) == OutcomeRecord(Outcome.NOT_MODIFIED)


@pytest.mark.parametrize("kind", [Kind.FEED, Kind.PAGE])
def test_a_304_to_a_request_without_validators_is_a_failure(kind: Kind) -> None:
    """Otherwise a feed that a faulty cache never sends would look healthy."""
    failure = OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 304")
    assert decide_response(page(304), kind, 0, NOW) == RetryAt(NOW + timedelta(minutes=1), "http_error: HTTP 304", failure=failure)
    assert decide_response(page(304), kind, 1, NOW) == failure


@pytest.mark.parametrize("outcome", [Outcome.DNS, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.TLS, Outcome.CONNECTION, Outcome.DATA_LOSS])
def test_transient_failures(outcome: Outcome) -> None:
    """An expired certificate may be renewed after days."""
    failure = OutcomeRecord(outcome, "why")
    assert decide_failure(failure, 0, NOW) == RetryAt(NOW + timedelta(minutes=1), f"{outcome}: why", failure=failure)
    assert decide_failure(OutcomeRecord(outcome, "why"), 8, NOW) == OutcomeRecord(outcome, "why")


@pytest.mark.parametrize("outcome", [Outcome.SSRF_BLOCKED, Outcome.TOO_LARGE, Outcome.REDIRECT_LOOP, Outcome.BAD_URL, Outcome.OFF_SITE])
def test_permanent_failures(outcome: Outcome) -> None:
    assert decide_failure(OutcomeRecord(outcome, "why"), 0, NOW) == OutcomeRecord(outcome, "why")


def test_a_listing_that_a_middleware_refuses_is_retried() -> None:
    denied = OutcomeRecord(Outcome.DENIED, "why")
    assert decide_failure(denied, 0, NOW, Kind.PAGE) == denied
    assert decide_failure(denied, 0, NOW, Kind.FEED) == RetryAt(
        NOW + timedelta(minutes=1), "middleware_error: why", failure=OutcomeRecord(Outcome.MIDDLEWARE_ERROR, "why")
    )
    assert decide_failure(denied, 4, NOW, Kind.FEED) == OutcomeRecord(Outcome.MIDDLEWARE_ERROR, "why")


def test_a_private_ip_address_of_a_name_is_asked_for_again() -> None:
    """The log-in page of a network answers every name with one; hundreds of URLs would end within a minute."""
    assert isinstance(decide_failure(make_refusal_outcome("paper.example", "10.0.0.1 is not a public IP address"), 0, NOW), RetryAt)
    for host, refusal in (("10.0.0.1", "10.0.0.1 is not a public IP address"), ("paper.example", "port 25 is not 80 or 443")):
        assert decide_failure(make_refusal_outcome(host, refusal), 0, NOW) == OutcomeRecord(Outcome.SSRF_BLOCKED, refusal)
