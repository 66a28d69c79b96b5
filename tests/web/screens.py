"""Pictures of the pages for the docs, into docs/screens unless a folder is named:

    PYTHONPATH=tests:tests/storage:tests/web python -m screens [FOLDER]

They show the store of sample_store.py at its stopped clock, so that they change only where the pages do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browsing import TITLES, Site, canary, chromium, page_urls, serve_site, window
from playwright.sync_api import Browser
from sample_store import SampleStore, open_sample_store

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 150_000  # bytes of one picture
HEIGHTS = {1280: 660, 390: 800}  # pixels shown, by width
# picture: page, width, colours
PICTURES = {
    "home": ("home", 1280, "light"),
    "search": ("results", 1280, "light"),
    "document": ("document-paper", 1280, "light"),
    "explain": ("explain", 1280, "light"),
    "sources": ("sources", 1280, "dark"),
    "ops": ("operations", 1280, "light"),
    "home-phone": ("home", 390, "light"),
    "document-phone": ("document-paper", 390, "dark"),
    "source-phone": ("source", 390, "light"),
}


def take(browser: Browser, site: Site, ids: dict[str, str], folder: Path) -> None:
    """One PNG per picture: what a window shows before anybody scrolls."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = page_urls(ids)
    for width, scheme in sorted({(width, scheme) for _, width, scheme in PICTURES.values()}):
        context = window(browser, site, width, scheme)
        page = context.new_page()
        for picture, (name, *where) in PICTURES.items():
            if where == [width, scheme]:
                page.goto(site.url + pages[name])
                page.screenshot(path=folder / f"{picture}.png", clip={"x": 0, "y": 0, "width": width, "height": HEIGHTS[width]})
        context.close()


def ids_of(world: SampleStore) -> dict[str, str]:
    """The documents that are looked at, by name."""
    return {name: world.id_of(title) for name, title in TITLES.items()}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screens"
    with (
        tempfile.TemporaryDirectory() as data,
        open_sample_store(Path(data)) as world,
        serve_site(world.context) as site,
        canary() as canary_server,
        chromium(canary_server) as browser,
    ):
        take(browser, site, ids_of(world), folder)
    print(f"{len(PICTURES)} pictures in {folder}")


if __name__ == "__main__":
    main()
