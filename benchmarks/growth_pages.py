"""Cost of a whole page in a small corpus and in a large one. Real pages are archived, extracted, stored and indexed.

    python benchmarks/growth_pages.py --databases URL,URL [--sites 8] [--pages 40] [--turns 5] [--json FILE]

`growth.py` must fill the databases before; the first is the smallest. A local world of real layouts is fetched and learned once. Its pages
are then repeated with new URLs, and their paragraphs have words of growth.py's documents, so that the index contains the words. A round has
as many pages as a process stores between two merges of GIN's pending list. Rounds with known sites, with unknown sites and with each
database alternate. The result is the CPU of this process, of the page reader and of a local Postgres, from the fetched page on: ledger,
archive, worker, store and index. Fetching is excluded (a millisecond, at any size of the corpus).
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import growth_store
import systems
import world as worlds
from growth_documents import LATIN
from sqlalchemy import Engine, delete, select, text, update

from newsmill.archive.archive import Archive
from newsmill.context import build_context
from newsmill.extraction.decode import decode_body
from newsmill.model import Link, Page, Profile
from newsmill.sandbox.pages import Sandbox
from newsmill.storage import database
from newsmill.storage.database import reading, writing
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Fetched
from newsmill.storage.profiles import Profiles, ProfileVersion
from newsmill.storage.schema import ledger, profiles
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

Parts = dict[str, float]  # CPU ms a page: this process, reader, server


@dataclass(frozen=True, slots=True)
class Original:
    """A page of the world, its HTML, and those of its paragraphs that occur word for word in the HTML."""

    page: Page
    html: bytes
    paragraphs: tuple[bytes, ...]


def originals(folder: Path, sites: int, pages: int, port: int) -> tuple[list[Original], list[Profile]]:
    """Return the stored pages of a world of that size, and the profiles of its sites."""
    env = systems.environment(folder, learn=True)
    with worlds.serve(folder / "world", port, sites, pages) as world:
        systems.crawl(world, folder, 2, env)
    engine = database.connect(f"sqlite:///{folder}/data/newsmill.sqlite")
    archive, known = Archive(str(folder / "data" / "archive")), Profiles(engine)
    found = []
    for document in Documents(engine).iterate():
        segment, offset = str(document.archive_ref).split("@")
        page = archive.read_page(segment, int(offset))
        html = decode_body(page.header("Content-Encoding"), page.body)
        paragraphs = (block.text.encode() for block in document.blocks if len(block.text) > 80)
        found.append(Original(page, html, tuple(paragraph for paragraph in paragraphs if paragraph in html)))
    with reading(engine) as conn:
        names = conn.execute(select(profiles.c.site).distinct()).scalars().all()
    learned_profiles = [profile for name in names if (profile := known.latest(name)) is not None]
    engine.dispose()
    return found, learned_profiles


def with_other_words(original: Original, rng: random.Random, number: int) -> Page:
    """Return the page with a new URL; its paragraphs have the same length and other words."""
    path = urlsplit(original.page.url).path
    html = original.html.replace(path.encode(), f"/{number:x}{path}".encode())
    for paragraph in original.paragraphs:
        length = len(paragraph.split())
        words = [word for _ in range(1 + length // 50) for word in LATIN.text(rng, 50)][:length]
        html = html.replace(paragraph, " ".join(words).capitalize().encode() + b".")
    url = original.page.url.replace(path, f"/{number:x}{path}")
    headers = tuple(pair for pair in original.page.headers if pair[0].lower() not in ("content-encoding", "content-length"))
    body = gzip.compress(html, 6, mtime=0)
    return replace(
        original.page,
        requested_url=url,
        url=url,
        fetched_at=datetime.now(UTC),
        headers=(*headers, ("Content-Encoding", "gzip")),
        body=body,
        redirects=(),
    )


def store_profiles(engine: Engine, learned_profiles: Sequence[Profile]) -> None:
    """Replace the profiles of these sites in the database."""
    with writing(engine) as conn:
        conn.execute(delete(profiles).where(profiles.c.site.in_([profile.site for profile in learned_profiles])))
    for profile in learned_profiles:
        Profiles(engine).put(replace(profile, version=0), documents=profile.looked_at, now=datetime.now(UTC))
    with writing(engine) as conn:  # no document needs another cleaning
        conn.execute(update(profiles).values(applied=True))


class NoProfiles(Profiles):
    """Profiles without any known site."""

    def valid_at(self, site: str, fetched_at: datetime) -> ProfileVersion | None:
        return None


def round_of(engine: Engine, pages: Sequence[Page], context: WorkerContext) -> Parts:
    """Return the cost per page: CPU in ms."""
    app_ledger, by_url, now = context.app.ledger, {page.url: page for page in pages}, datetime.now(UTC)
    read = reader_cpu(context.sandbox)
    with growth_store.server_time(engine) as server:
        cpu = time.process_time()
        leased = growth_store.lease(engine, app_ledger, [Link(page.url, found_by="feed") for page in pages], now)
        for rows in (leased[first : first + growth_store.SEGMENT] for first in range(0, len(leased), growth_store.SEGMENT)):
            segment = context.app.archive.write([by_url[row.url] for row in rows], now=now)
            fetched = [Fetched(row.id, row.fence, offset, row.url, 200) for row, offset in zip(rows, segment.offsets, strict=True)]
            app_ledger.save_segment(segment, fetched, now=now)
            extract_claimed_pages(context, segment.id)
        cpu = time.process_time() - cpu
    with reading(engine) as conn:
        ended = select(ledger.c.outcome, text("count(*)")).where(ledger.c.id.in_([row.id for row in leased])).group_by(ledger.c.outcome)
        outcomes = dict(conn.execute(ended).all())
    assert outcomes.get("stored", 0) >= 0.95 * len(pages), outcomes
    spent = {"ours": cpu, "reader": reader_cpu(context.sandbox) - read, "server": server[0]}
    return {name: 1000 * seconds / len(pages) for name, seconds in spent.items()}


def reader_cpu(sandbox: Sandbox) -> float:
    """Return the CPU seconds of the page reader, to the microsecond, because clock ticks are too coarse (proc(5), schedstat)."""
    sandbox.start()
    (child,) = multiprocessing.active_children()
    return int(Path(f"/proc/{child.pid}/schedstat").read_text().split()[0]) / 1e9


def table(names: Sequence[str], found: dict[tuple[str, bool], list[Parts]]) -> str:
    """Return a table for a terminal and for README.md: medians of the rounds."""
    lines = ["| | " + " | ".join(names) + " | last to first, turn by turn |", "|---" * (len(names) + 2) + "|"]
    for known in (True, False):
        totals = [[sum(parts.values()) for parts in found[name, known]] for name in names]
        ratios = [last / first for first, last in zip(totals[0], totals[-1], strict=True)]
        cells = [
            f"**{statistics.median(total):.1f}** ({min(total):.1f} to {max(total):.1f}): "
            + ", ".join(
                f"{part} {statistics.median(parts[part] for parts in found[name, known]):.1f}" for part in ("ours", "reader", "server")
            )
            for name, total in zip(names, totals, strict=True)
        ]
        spread = f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(f"| CPU ms a page, sites {'known' if known else 'not known'} | {' | '.join(cells)} | {spread} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", required=True, help="URLs with commas, the smallest first")
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--pages", type=int, default=40, help="articles per site of the world")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    worlds.check_nginx()
    found: dict[tuple[str, bool], list[Parts]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="newsmill-growth-") as root, Sandbox() as sandbox:
        known_pages, learned_profiles = originals(Path(root), options.sites, options.pages, options.port)
        engines = [database.connect(url) for url in options.databases.split(",")]
        for engine in engines:
            database.upgrade(engine)
            store_profiles(engine, learned_profiles)
        names = [f"{Documents(engine).estimate_count()[0]:,} documents" for engine in engines]
        contexts = {
            (name, known): WorkerContext(replace(app, profiles=app.profiles if known else NoProfiles(engine)), sandbox, "growth_pages")
            for name, engine in zip(names, engines, strict=True)
            for app in (build_context(engine, f"{root}/archive"),)
            for known in (True, False)
        }
        number = time.time_ns() // 1_000_000
        rng = random.Random(number)
        for turn in range(-1, options.turns):  # the first turn fills the caches and is not counted
            for known in (True, False):
                for name, engine in zip(names, engines, strict=True):
                    pages = [
                        with_other_words(original, rng, number + at)
                        for at, original in enumerate(rng.choices(known_pages, k=growth_store.PAGES))
                    ]
                    number += len(pages)
                    parts = round_of(engine, pages, contexts[name, known])
                    if turn >= 0:
                        found[name, known].append(parts)
            print(f"turn {turn + 1} of {options.turns}", file=sys.stderr, flush=True)
        for engine in engines:
            engine.dispose()
    print(table(names, found))
    if options.json:
        options.json.write_text(
            json.dumps([{"database": name, "known": known, "rounds": rounds} for (name, known), rounds in found.items()])
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
