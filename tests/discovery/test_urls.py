"""URLs: one normal form and one key, stable for any string. The suites of other projects are in tests/conformance."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsmill.exceptions import UrlError
from newsmill.text import urls


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("HTTP://Example.COM:80/a/../b#top", "http://example.com/b"),
        ("https://user:secret@example.com:8443/", "https://example.com:8443/"),
        ("https://münchen.example/straße?q=ä", "https://xn--mnchen-3ya.example/stra%C3%9Fe?q=%C3%A4"),
        ("https://example.com/%7Ejoe/%c3%a4", "https://example.com/~joe/%C3%A4"),
        ("https://example.com/a?utm_source=x&id=7&fbclid=y&ref=other.example", "https://example.com/a?id=7"),
        ("https://example.com/a?source=rss-8f3c2d1e0b------2", "https://example.com/a"),
        ("https://example.com/a?source=rss-news", "https://example.com/a?source=rss-news"),
        ("https://example.com/a?id=7&amp;page=2", "https://example.com/a?id=7&page=2"),
        ("https://example.com/a;jsessionid=0A1B/b?PHPSESSID=1&x=1", "https://example.com/a/b?x=1"),
        ("https://example.com/(S(lit3py55t21z5v55vlm25s55))/a", "https://example.com/a"),
        ("https://example.com/(A(lit3py55t21z)F(5v55vlm25s55))/a", "https://example.com/a"),
        ("https://example.com/;jsessionid=0A1B", "https://example.com/"),
        ("https://example.com/local/;jsessionid=0A1B;sid=2?x=1", "https://example.com/local/?x=1"),
        ("https://example.com/;jsessionid=0A1B/a", "https://example.com/a"),
        ("https://example.com/.;jsessionid=0A1B/a", "https://example.com/.;jsessionid=0A1B/a"),
        ("https://example.com./a", "https://example.com/a"),
    ],
)
def test_normal_form(given, expected):
    assert urls.normalize(given) == expected


def test_relative_to_base():
    assert urls.normalize("../c?x=1", "https://example.com/a/b") == "https://example.com/c?x=1"


@pytest.mark.parametrize("odd", ["http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/", "http://①②⑦.⓪.⓪.①/"])
def test_odd_spellings_of_an_ip_address_are_normalized(odd):
    assert urls.normalize(odd) == "http://127.0.0.1/"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "news",
        "//",
        "mailto:a@b.example",
        "file:///etc/passwd",
        "http://",
        "http://a..b/",
        "http://256.1.1.1/",
        "http://[::1",
        "http://x/" + "a" * 9000,
        "http://x/" + "ä" * 2000,
    ],
)
def test_refused(bad):
    with pytest.raises(UrlError):
        urls.normalize(bad)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.com/a/", "https://www.example.com/a"),
        ("https://example.com//a?b=1&c=2", "https://example.com/a?c=2&b=1&utm_medium=x"),
        ("https://example.com", "https://example.com/#top"),
        ("https://example.com/a?b=", "https://example.com/a?b"),
        ("https://example.com/a?q=new+budget", "https://example.com/a?q=new%20budget"),
        ("https://example.com/a?q=new budget", "https://example.com/a?q=new+budget"),
        ("https://example.com/a|b^c[d]`e{f}?g=|^[`{}\\", "https://example.com/a%7Cb%5ec%5bd%5D%60e%7Bf%7D?g=%7C%5E%5B%60%7b%7D%5C"),
        ("https://example.com/a;sid=1;sid=2/b", "https://example.com/a/b"),
    ],
)
def test_same_key(one, other):
    assert urls.make_key(one) == urls.make_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a+b", "https://example.com/a%20b"),  # "+" is a blank in a query only
        ("https://example.com/?q=a%2Bb", "https://example.com/?q=a+b"),
        ("https://example.com/a%2Fb", "https://example.com/a/b"),
        ("https://example.com/?a=1%26b=2", "https://example.com/?a=1&b=2"),
        ("https://example.com/a%3Fb", "https://example.com/a?b"),
    ],
)
def test_significant_escapes_make_another_key(one, other):
    assert urls.make_key(one) != urls.make_key(other)


def test_different_key():
    assert len({urls.make_key(f"https://example.com/{x}") for x in ("a", "A", "a?id=1", "a?id=2", "a/1", "a?sid=12", "a?ref=88")}) == 7


def test_site_and_host():
    assert urls.get_site("https://news.bbc.co.uk/x") == "bbc.co.uk"
    assert urls.get_site("http://127.0.0.1:8080/x") == urls.get_host("http://127.0.0.1:8080/y") == "127.0.0.1:8080"
    assert urls.get_site("http://localhost:8080/") == "localhost:8080"
    assert urls.get_site("https://www.news.test/") == "news.test"
    assert urls.get_site("https://jane.blogspot.com/") == "jane.blogspot.com"
    assert urls.get_host("https://Example.com:443/") == "example.com"


any_text = st.text() | st.text(st.sampled_from("http:/.?&=%25aA;(S)#[]@\\\ud800 ①。é\n"), max_size=40)
urlish = st.builds("http://{}/{}".format, st.sampled_from(["a.example", "1.2", "[::1]"]), any_text)


# What session ids, tracking parameters and escapes are made of: where one is left out, its neighbours meet.
PIECES = """/ \\ ? # & = % %2 %2e %2E%2e .. . ; : @ + %20 | ^ [ ] ` { " < ' %00 %41 %7e %3d %26 %3B %2F %5C %e9 amp; utm_source=x ref=1
sid=1 sid= ;sid=1 /;sid=1/ ;jsessionid=1 ;%6asessionid=1 (S(abcdefgh1)) /(f(12345678)) A(12345678) PHPSESSID=1 www. a A 1 é \ud800 。
""".split()  # noqa: SIM905 - a list of sixty strings would be harder to read
pieced = st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "http://www.a.example/" + "".join(pieces))


@given(any_text | urlish | pieced, st.none() | urlish | pieced)
@settings(max_examples=150)
@example("http://a/%%36%36", None)
@example("http://a/..;jsessionid=1/b", None)
@example("http://a/x?amp;amp;b&amp;", None)
@example("http://a/b;sid=1.;sid=1", None)
@example("http://a/" + "ä" * 1_333, None)
@example("http://a/" + "ä" * 1_334, None)
def test_normalize_is_idempotent_and_raises_nothing_else(text, base):
    try:
        once = urls.normalize(text, base)
    except UrlError:
        return
    assert urls.normalize(once) == once
    assert urls.make_key(once) == urls.make_key(once.upper().replace(once[5:].upper(), once[5:]))
    assert urls.get_site(once) and urls.get_host(once)


@given(pieced)
@settings(max_examples=150)
def test_a_url_has_the_key_of_its_normal_form(text):
    assert urls.make_key(text) == urls.make_key(urls.normalize(text))
