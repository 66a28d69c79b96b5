"""The peer news-please: `NewsPlease.from_urls` with the URLs of the articles.

    python news_please.py OUT.jsonl URLS.txt

Runs with the Python of an environment of its own (environments.py). Without pictures, which it would fetch by default. `request_args` must
be given: without it 1.6.16 answers {} for every one of several URLs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from newsplease import NewsPlease  # type: ignore[import-not-found]

BATCH = 100  # URLs per call; it starts one thread for each


def main(out: Path, urls: list[str]) -> None:
    """Fetch, read, write."""
    with out.open("w", encoding="utf-8") as lines:
        for start in range(0, len(urls), BATCH):
            articles = NewsPlease.from_urls(urls[start : start + BATCH], request_args={}, fetch_images=False)
            for url, article in articles.items():
                if article and article.maintext:
                    row = {"url": url, "title": article.title, "text": article.maintext, "authors": list(article.authors or ())}
                    lines.write(json.dumps(row | {"published_at": str(article.date_publish or "")}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_text().split())
