"""An example domain as contact: refused before the first request to a public site, allowed on this machine and on private networks."""

from __future__ import annotations

import pytest

from newsmill.exceptions import ConfigError
from newsmill.network.contact import check_contact
from newsmill.settings import load

PRIVATE = ("http://127.0.0.1:8000/", "http://[::1]/", "http://10.0.0.7/", "http://newspaper:8000/", "http://paper.lan/", "not a URL")


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [
        ("NEWSMILL_CONTACT", "me@example.org", "example.org"),
        ("NEWSMILL_CONTACT", "me@mail.Example.com", "mail.Example.com"),
        ("NEWSMILL_CONTACT", "https://www.example.net/bot", "www.example.net"),
        ("NEWSMILL_CONTACT", "https://paper.example/", "paper.example"),
        ("NEWSMILL_CONTACT", "me@paper.invalid", "paper.invalid"),
        ("NEWSMILL_CONTACT", "me@paper.test", "paper.test"),
        ("NEWSMILL_CONTACT", "YOU@YOUR-DOMAIN", "YOUR-DOMAIN"),
        ("NEWSMILL_USER_AGENT", "Newsmill/0.1 (+https://example.org/about-our-crawler)", "example.org"),
    ],
)
def test_an_example_domain_is_refused_for_a_public_site(name: str, value: str, example: str) -> None:
    settings = load({name: value})
    check_contact(settings, PRIVATE)
    with pytest.raises(ConfigError) as raised:
        check_contact(settings, [*PRIVATE, "https://www.example.org/", "https://8.8.8.8/"])
    remedy = "set your own URL or e-mail address before you crawl https://www.example.org/"
    assert str(raised.value) == f"{name} names the example domain {example}; {remedy}"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"NEWSMILL_CONTACT": "desk@example.org.uk"},
        {"NEWSMILL_CONTACT": "https://www.myexample.org/bot?mail=me"},
        {"NEWSMILL_USER_AGENT": "mybot/1.0"},
        {"NEWSMILL_CONTACT": "me@example.org", "NEWSMILL_USER_AGENT": "mybot/1.0 (+https://bot.mit.edu)"},
    ],
)
def test_any_other_contact_is_accepted(values: dict[str, str]) -> None:
    check_contact(load(values), ["https://www.example.org/"])
