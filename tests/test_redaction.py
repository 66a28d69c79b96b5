"""No password of a URL is shown, in any spelling; other text stays readable."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.text.redaction import redact

PASSWORD = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C"), exclude_characters="\"'<>"), min_size=4, max_size=20)
SCHEME = st.sampled_from(["postgresql://", "postgresql+psycopg://", "redis://", "rediss://", "s3://", "ftp://", "unix://"])
AROUND = st.sampled_from(["{}", "database {}: no answer", "Redis at ({}) is away", 'REDIS_URL "{}"', "{}, and more"])


@given(SCHEME, st.sampled_from(["me", "", "a.b"]), PASSWORD, AROUND)
def test_no_password_of_a_service_is_shown(scheme: str, user: str, password: str, around: str) -> None:
    secret = f"q7{password}7q"  # so that it cannot be a part of what surrounds it
    shown = redact(around.format(f"{scheme}{user}:{secret}@host:5432/name"))
    assert secret not in shown
    assert shown == around.format(f"{scheme}***@host:5432/name")


@given(st.sampled_from(["http://", "https://", "//", "http:", "\\\\"]), PASSWORD)
def test_no_password_of_a_web_page_is_shown(scheme: str, password: str) -> None:
    secret = quote(f"q7{password}7q", safe="@:")
    assert secret not in redact(f"{scheme}me:{secret}@host/path?a=b")


@given(PASSWORD, st.sampled_from(["password", "PASSWORD", "sslpassword", "passwd", "pwd", "pass", "secret", "api_key", "access_token"]))
def test_no_password_in_a_parameter_is_shown(password: str, name: str) -> None:
    secret = quote(f"q7{password}7q", safe="")
    for url in (f"postgresql://host/db?user=u&{name}={secret}&x=y", f"redis://host?{name}={secret}", f"host=h {name}={secret}"):
        assert secret not in redact(url)
        assert f"{name}=***" in redact(url)


@given(st.text())
def test_it_never_raises_and_a_second_pass_changes_nothing(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://social.example/@user/1",
        "http://127.0.0.1:8470/@user",
        "https://[::1]:80/a@b",
        "write to me@example.org or mailto:me@example.org",
        "https://paper.example/a?b=c@d",
        "https://paper.example/?passage=3&compass=n",
        "12:30 at the harbour",
        "s3://bucket/prefix",
    ],
)
def test_text_without_a_password_stays(text: str) -> None:
    assert redact(text) == text
