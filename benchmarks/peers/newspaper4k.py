"""The peer newspaper4k: its own fetcher and parser over the URLs of the articles, one after the other in one process.

    python newspaper4k.py OUT.jsonl URLS.txt

Runs with the Python of an environment of its own (environments.py). Without pictures, which it would fetch by default.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from newspaper import ArticleException, Config, article  # type: ignore[import-not-found]


def main(out: Path, urls: list[str]) -> None:
    """Fetch, read, write."""
    config = Config()
    config.fetch_images = False
    with out.open("w", encoding="utf-8") as lines:
        for url in urls:
            try:
                found = article(url, config=config)
            except ArticleException as error:
                print(f"{url}: {error}", file=sys.stderr)
                continue
            row = {"url": url, "title": found.title, "text": found.text, "authors": found.authors}
            lines.write(json.dumps(row | {"published_at": str(found.publish_date or "")}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_text().split())
