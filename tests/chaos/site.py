"""A light world of news sites: articles made from their number, each with a token of its own, and a log of every request.

    python -m chaos.site PORT SITES PAGES POISON KINDS LOG     serves until it is killed

Article n stands on site n modulo SITES. Every POISON-th article (0: none) carries an order to kill its reader; see `chaos.reader`.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

WORDS = Path(__file__).with_name("words.txt")
PARAGRAPHS = 9
FIRST_DAY = datetime(2026, 1, 1, 6, 0, tzinfo=UTC)
ORDERS = ("segv", "exit", "allocate", "raise", "loop", "attributes")
ARTICLE = re.compile(r"^/20\d\d/\d\d/\d\d/(\d+)-")


@dataclass(frozen=True)
class World:
    """The truth: which articles there are, and which of them kill."""

    port: int
    sites: int
    pages: int
    poison: int = 0
    kinds: str = ""  # of poison, with commas; all where empty

    def homes(self) -> list[str]:
        return [f"http://127.0.0.{2 + number}:{self.port}" for number in range(self.sites)]

    def url(self, number: int) -> str:
        day = FIRST_DAY + timedelta(hours=number % 7000)
        return f"{self.homes()[number % self.sites]}/{day:%Y/%m/%d}/{number}-{'-'.join(self.title(number).lower().split()[:4])}"

    def title(self, number: int) -> str:
        chance = random.Random(f"title {number}")
        return " ".join(chance.choice(self.words) for _ in range(7)).capitalize()

    def order(self, number: int) -> str | None:
        """What article `number` does to its reader; None for a good one."""
        if not self.poison or number % self.poison != self.poison // 2:
            return None
        kinds = self.kinds.split(",") if self.kinds else ORDERS
        return kinds[number // self.poison % len(kinds)]

    @cached_property
    def words(self) -> list[str]:
        return WORDS.read_text("utf-8").split()

    @cached_property
    def urls(self) -> dict[str, int]:
        """Every article's URL with its number."""
        return {self.url(number): number for number in range(self.pages)}

    def sitemap(self, site: int) -> bytes:
        rows = "".join(f"<url><loc>{self.url(number)}</loc></url>" for number in range(site, self.pages, self.sites))
        return f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</urlset>'.encode()

    def article(self, number: int) -> bytes:
        chance = random.Random(number)
        order = self.order(number)
        title, day = self.title(number), FIRST_DAY + timedelta(hours=number % 7000)
        text = "".join(f"<p>{self._paragraph(chance)}</p>\n" for _ in range(PARAGRAPHS))
        links = "".join(f'<li><a href="/section/{word}">{word.title()}</a></li>' for word in self.words[:40])
        teasers = "".join(
            f'<div class="teaser"><a href="/x/{n}"><h3>{self.title(n)}</h3></a></div>' for n in range(number + 1, number + 13)
        )
        return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title} - The Kill Courier</title>
<meta property="og:type" content="article"><meta property="og:title" content="{title}">
<meta property="article:published_time" content="{day.isoformat()}"><link rel="canonical" href="{self.url(number)}">
{f'<meta name="chaos" content="{order}">' if order else ""}
<style>{"".join(f".c{n}{{margin:{n}px;padding:{n}px}}" for n in range(60))}</style></head>
<body><header><nav><ul>{links}</ul></nav></header><main><article><h1>{title}</h1>
<p>The file has the number {token(number)}. {self._paragraph(chance)}</p>
{text}</article></main><aside>{teasers}</aside>
<footer><ul>{links}</ul><p>Copyright The Kill Courier</p></footer></body></html>""".encode()

    def _paragraph(self, chance: random.Random) -> str:
        return " ".join(f"{' '.join(chance.choice(self.words) for _ in range(chance.randint(8, 16)))}.".capitalize() for _ in range(4))


def token(number: int) -> str:
    """The word only article `number` holds."""
    return f"token{number:06d}x"


def requests(log: Path) -> Counter[int]:
    """How often each article was requested."""
    found = (ARTICLE.match(line) for line in log.read_text("utf-8").splitlines())
    return Counter(int(match.group(1)) for match in found if match)


async def serve(world: World, log: Path) -> None:
    with log.open("a", buffering=1, encoding="utf-8") as lines:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    path = head.split(b" ", 2)[1].decode("ascii", "replace")
                    host = writer.get_extra_info("sockname")[0]
                    lines.write(f"{path} {time.time():.3f} {host}\n")
                    status, kind, body = _answer(world, int(host.rpartition(".")[2]) - 2, path)
                    writer.write(b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body)) + body)
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass  # the client has gone, or was killed
            finally:
                writer.close()

        servers = [await asyncio.start_server(answer, f"127.0.0.{2 + number}", world.port) for number in range(world.sites)]
        await asyncio.gather(*(server.serve_forever() for server in servers))


def _answer(world: World, site: int, path: str) -> tuple[bytes, bytes, bytes]:
    if path == "/sitemap.xml":
        return b"200 OK", b"application/xml", world.sitemap(site)
    match = ARTICLE.match(path)
    if match and int(match.group(1)) < world.pages:
        return b"200 OK", b"text/html; charset=utf-8", world.article(int(match.group(1)))
    return b"404 Not Found", b"text/plain", b"not found"


if __name__ == "__main__":
    port, sites, pages, poison = map(int, sys.argv[1:5])
    asyncio.run(serve(World(port, sites, pages, poison, sys.argv[5]), Path(sys.argv[6])))
