"""Pictures of the pages for the docs, into docs/screens unless a folder is named:

    PYTHONPATH=tests:tests/storage:tests/web python -m screens [FOLDER]

They show the store of picture_store.py at its stopped clock, so that they change only where the pages do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browsing import Site, canary, chromium, serve_site, window
from picture_store import open_picture_store
from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 150_000  # bytes of one picture
HEIGHTS = {1280: 660, 390: 800}  # pixels shown, by width
ARTICLE = "Russland und die NATO"
REMOVED = "source site-40"  # what the picture of an explanation shows removed
# picture: path, width, colours
PICTURES = {
    "home": ("/", 1280, "light"),
    "search": ("/search?q=Aunstadt", 1280, "light"),
    "document": ("/documents/ARTICLE", 1280, "light"),
    "explain": ("/documents/ARTICLE/explain", 1280, "light"),
    "sources": ("/sources", 1280, "dark"),
    "ops": ("/ops", 1280, "light"),
    "home-phone": ("/", 390, "light"),
    "document-phone": ("/documents/ARTICLE", 390, "dark"),
    "source-phone": ("/sources/aunebote", 390, "light"),
}


def take(browser: Browser, site: Site, article: str, folder: Path) -> None:
    """One PNG per picture: what a window shows before anybody scrolls, or around REMOVED."""
    folder.mkdir(parents=True, exist_ok=True)
    for width, scheme in sorted({(width, scheme) for _, width, scheme in PICTURES.values()}):
        context = window(browser, site, width, scheme)
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        for picture, (path, *where) in PICTURES.items():
            if where == [width, scheme]:
                page.goto(site.url + path.replace("ARTICLE", article))
                page.wait_for_load_state("networkidle")  # images that cannot be had are gone
                if picture == "explain":
                    page.get_by_text(REMOVED).evaluate("one => one.scrollIntoView({block: 'center'})")
                page.screenshot(path=folder / f"{picture}.png")
        context.close()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screens"
    with (
        tempfile.TemporaryDirectory() as data,
        open_picture_store(Path(data)) as world,
        serve_site(world.context) as site,
        canary() as canary_server,
        chromium(canary_server) as browser,
    ):
        take(browser, site, world.id_of(ARTICLE), folder)
    print(f"{len(PICTURES)} pictures in {folder}")


if __name__ == "__main__":
    main()
