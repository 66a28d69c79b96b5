"""The page object for scrapy-poet, in a real Scrapy crawl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

if not os.environ.get("CI"):
    pytest.importorskip("scrapy_poet", reason="pip install 'newsmill[poet]'")

ROOT = Path(__file__).resolve().parents[1]
PARAGRAPH = "The old bridge over the river was closed on Monday, and this paragraph says why in enough words to count as one."
ARTICLE = (
    "<html lang='en'><head><title>Bridge closed</title><meta name='author' content='Ann Author'>"
    "<meta property='article:published_time' content='2026-11-25T10:00:00+01:00'></head><body><article><h1>Bridge closed</h1>"
    + "".join(f"<p>{number}. {PARAGRAPH}</p>" for number in range(6))
)
SPIDER = """
import scrapy
from zyte_common_items import Article

class Paper(scrapy.Spider):
    name = "paper"
    custom_settings = {"ADDONS": {"scrapy_poet.Addon": 300}, "SCRAPY_POET_DISCOVER": ["newsmill.scrapy_poet"], "ROBOTSTXT_OBEY": False}

    async def start(self):
        for path in ("article", "empty"):
            yield scrapy.Request("HOMEPAGE/" + path, self.parse_article)

    def parse_article(self, response: scrapy.http.Response, article: Article):
        yield article
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write((ARTICLE if self.path == "/article" else "<p>").encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_callback_gets_the_article_that_newsmill_extracts(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    homepage = f"http://127.0.0.1:{server.server_port}"
    (tmp_path / "spider.py").write_text(SPIDER.replace("HOMEPAGE", homepage))
    command = [sys.executable, "-m", "scrapy", "runspider", "spider.py", "-O", "items.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=200)
    server.shutdown()
    server.server_close()
    thread.join()
    assert "log_count/ERROR" not in done.stderr, done.stderr
    items = {item["url"]: item for item in map(json.loads, (tmp_path / "items.jsonl").read_text().splitlines())}
    article, empty = items[f"{homepage}/article"], items[f"{homepage}/empty"]
    assert (article["headline"], article["authors"][0]["name"], article["inLanguage"]) == ("Bridge closed", "Ann Author", "en")
    assert article["datePublished"] == "2026-11-25T09:00:00Z"
    assert article["articleBody"].count(PARAGRAPH) == 6
    assert empty["metadata"]["probability"] == 0.0
    assert not empty["articleBody"]
