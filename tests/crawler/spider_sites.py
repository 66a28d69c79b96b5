"""Local sites for the example spiders: a JSON API, a page with a cursor, and a site with a log-in."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

from fake_site import Hit, Response, Site

TEXT = "The council met on Monday to talk about the bridge. " * 12
JSON = (("Content-Type", "application/json"),)
HTML = (("Content-Type", "text/html; charset=utf-8"),)


def article_html(number: int) -> bytes:
    """The page of an article."""
    title = f"Headline number {number}"
    return (
        f"<html><head><title>{title}</title></head><body><article><h1>{title}</h1><p>{TEXT} Item {number}.</p></article></body></html>"
    ).encode()


def add_articles(site: Site, count: int) -> list[str]:
    """Pages of articles, for everybody."""
    for number in range(count):
        site.pages[f"/story/{number}"] = Response(200, HTML, article_html(number))
    return [site.url(f"/story/{number}") for number in range(count)]


def serve_api(site: Site, count: int, page_size: int = 10) -> list[str]:
    """A JSON API with finished articles, whose URLs are returned."""

    def respond(hit: Hit) -> Response:
        parts = urlsplit(hit.path)
        if parts.path != "/api/articles":
            return Response(404)
        page = int(parse_qs(parts.query).get("page", ["1"])[0])
        numbers = range((page - 1) * page_size, min(page * page_size, count))
        articles = [
            {
                "url": f"/story/{number}",
                "headline": f"Headline number {number}",
                "articleBody": f"{TEXT} Item {number}.",
                "datePublished": "2026-11-25T08:30:00+01:00",
                "author": [{"name": "Ada Example"}],
            }
            for number in numbers
        ]
        following = f"/api/articles?page={page + 1}" if page * page_size < count else None
        return Response(200, JSON, json.dumps({"articles": articles, "next": following}).encode())

    site.fallback = respond
    return [site.url(f"/story/{number}") for number in range(count)]


def serve_stream(site: Site, count: int, page_size: int = 10) -> list[str]:
    """A page that loads more with a cursor; the URLs of its articles."""

    def respond(hit: Hit) -> Response:
        parts = urlsplit(hit.path)
        if parts.path != "/stream":
            return Response(404)
        start = int(parse_qs(parts.query).get("cursor", ["c0"])[0][1:])
        numbers = range(start, min(start + page_size, count))
        html = "".join(f'<article><a href="/story/{number}">Headline number {number}</a></article>' for number in numbers)
        cursor = f"c{start + page_size}" if start + page_size < count else None
        return Response(200, JSON, json.dumps({"html": html, "cursor": cursor}).encode())

    site.fallback = respond
    return add_articles(site, count)


def serve_login(site: Site, count: int, page_size: int = 10) -> list[str]:
    """A site that shows its list and its articles only with the cookie of a log-in; the URLs of its articles."""
    form = (
        '<form method="post" action="/session"><input type="hidden" name="token" value="t1">'
        '<input name="user"><input type="password" name="password"></form>'
    )

    def respond(hit: Hit) -> Response:
        parts = urlsplit(hit.path)
        if parts.path == "/login":
            return Response(200, HTML, form.encode())
        if parts.path == "/session":
            fields = {name: values[0] for name, values in parse_qs(hit.body.decode()).items()}
            if fields != {"token": "t1", "user": "ada", "password": "secret word"}:
                return Response(200, HTML, form.encode())
            return Response(303, (("Location", "/welcome"), ("Set-Cookie", "session=s1; Path=/")))
        if "session=s1" not in hit.headers.get("cookie", ""):
            return Response(302, (("Location", "/login"),))
        if parts.path == "/welcome":
            return Response(200, HTML, b"<p>Welcome</p>")
        if parts.path == "/archive":
            page = int(parse_qs(parts.query).get("page", ["1"])[0])
            numbers = range((page - 1) * page_size, min(page * page_size, count))
            items = "".join(f'<article><a href="/story/{number}">Headline number {number}</a></article>' for number in numbers)
            following = f'<a rel="next" href="/archive?page={page + 1}">Older</a>' if page * page_size < count else ""
            return Response(200, HTML, f"<html><body>{items}{following}</body></html>".encode())
        if parts.path.startswith("/story/"):
            return Response(200, HTML, article_html(int(parts.path.rpartition("/")[2])))
        return Response(404)

    site.fallback = respond
    return [site.url(f"/story/{number}") for number in range(count)]
