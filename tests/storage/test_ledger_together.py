"""Several crawlers, workers and schedulers on one ledger, at once: nothing is shared, nothing is lost, nothing is double."""

from __future__ import annotations

import multiprocessing
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from mortal import crawl_and_read
from rows import NOON, SITE, SOURCE, Mill, after, document_of, ended, good, links
from sqlalchemy import Engine

from newsmill.model import Outcome
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger

TOGETHER = 4
PAGES, KILLS = 100, 5  # of the processes that are killed


def at_once(work: Callable[[int], Any], count: int = TOGETHER) -> list[Any]:
    """The results of `work(0)`, `work(1)`, … begun at the same moment in threads of their own."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_hosts_and_rows_are_never_shared(ledger: Ledger) -> None:
    for number in range(40):
        ledger.links.add(links(5, f"https://h{number}.example"), now=NOON)

    def crawl(number: int) -> tuple[list[str], list[int]]:
        hosts, rows = [], []
        while leases := ledger.hosts.lease(f"c{number}", limit=3, seconds=60, now=NOON):
            for lease in leases:
                hosts.append(lease.host)
                leased = ledger.url_leases.lease(lease.host, f"c{number}", limit=9, seconds=60, now=NOON)
                rows += [row.id for row in leased]
                ledger.url_endings.end([ended(row, Outcome.GONE) for row in leased], now=NOON)
        return hosts, rows

    leased = at_once(crawl)
    assert sorted(host for hosts, _ in leased for host in hosts) == sorted(f"h{number}.example" for number in range(40))
    assert len({row for _, rows in leased for row in rows}) == 200 == sum(len(rows) for _, rows in leased)
    assert ledger.progress.count().outcomes == {Outcome.GONE: 200}


def test_links_found_by_several_at_once_are_new_once(ledger: Ledger) -> None:
    def find(number: int) -> int:
        mine = links(300)
        random.Random(number).shuffle(mine)
        return ledger.links.add(mine, now=NOON).new

    assert sum(at_once(find)) == 300 == ledger.progress.count().pages


def test_a_segment_claimed_by_several_at_once_is_split_without_overlap(ledger: Ledger) -> None:
    ledger.links.add(links(50), now=NOON)
    mill = Mill(ledger)
    mill.lease()
    segment = mill.save()
    claims = at_once(lambda number: ledger.claims.claim(segment, f"w{number}", seconds=60, now=NOON))
    ids = [claim.id for part in claims for claim in part]
    assert sorted(ids) == sorted(set(ids))
    assert len(ids) <= 50
    assert len(ids) + len(ledger.claims.claim(segment, "last", seconds=60, now=NOON)) == 50


def test_the_same_results_stored_twice_at_once_count_once(ledger: Ledger, documents: Documents) -> None:
    mill = Mill(ledger)
    claims = mill.fetch(*links(8))
    results = [good(claim) for claim in claims]
    stored = at_once(lambda number: ledger.results.store(results, now=NOON, owner=mill.worker, seconds=60))
    assert sorted(stored, key=len) == [{}, {}, {}, {Outcome.STORED: 8}]
    assert documents.count() == 8
    assert {document.revision for document in documents.iterate()} == {1}


def test_many_addresses_of_one_document_at_once_give_one_document(ledger: Ledger, documents: Documents) -> None:
    """Four workers, each with URLs of the same three documents, in different orders: one stored each, no deadlock."""
    mill = Mill(ledger)
    ledger.links.add(links(48), now=NOON)
    rows = mill.lease()
    segments = [mill.save(rows[number::TOGETHER]) for number in range(TOGETHER)]

    def work(number: int) -> Counter[Outcome]:
        claims = ledger.claims.claim(segments[number], f"w{number}", seconds=60, now=NOON)
        random.Random(number).shuffle(claims)
        total: Counter[Outcome] = Counter()
        for at in range(0, len(claims), 4):
            batch = [good(claim, document_of(claim.url, canonical=f"{SITE}/c{claim.id % 3}")) for claim in claims[at : at + 4]]
            total.update(ledger.results.store(batch, now=NOON, owner=f"w{number}", seconds=60))
        return total

    assert sum(at_once(work), Counter()) == {Outcome.STORED: 3, Outcome.DUPLICATE: 45}
    assert documents.count() == 3
    assert ledger.progress.count().outcomes == {Outcome.STORED: 3, Outcome.DUPLICATE: 45}


def test_takeovers_at_once_end_with_the_canonical_address(ledger: Ledger, documents: Documents) -> None:
    mill = Mill(ledger)
    ledger.links.add(links(40), now=NOON)
    rows = mill.lease()
    segments = [mill.save(rows[number::TOGETHER]) for number in range(TOGETHER)]
    homes = [row.url for row in rows[:5]]

    def work(number: int) -> None:
        for claim in ledger.claims.claim(segments[number], f"w{number}", seconds=60, now=NOON)[::-1]:
            document = document_of(claim.url, canonical=homes[claim.id % 5] if claim.url not in homes else None)
            ledger.results.store([good(claim, document)], now=NOON, owner=f"w{number}", seconds=60)

    at_once(work)
    assert sorted(document.url for document in documents.iterate()) == sorted(homes)
    assert ledger.progress.count().outcomes == {Outcome.STORED: 5, Outcome.DUPLICATE: 35}


def test_one_of_several_schedulers_gets_the_tick(ledger: Ledger) -> None:
    ledger.sources.put(SOURCE, now=NOON)
    for hour in range(10):
        ticked = at_once(lambda number: ledger.sources.tick(now=after(hours=hour), next_tick=lambda source, at: at + timedelta(minutes=15)))  # noqa: B023
        assert sorted(ticked) == [[], [], [], ["paper"]]


def test_sources_written_at_once(ledger: Ledger) -> None:
    at_once(lambda number: ledger.sources.put(SOURCE, now=NOON))
    assert ledger.sources.list_all() == [SOURCE]
    assert len(Mill(ledger).lease()) == 2


# ---- whole processes, with random crashes


@pytest.mark.slow
def test_processes_killed_at_random_lose_nothing_and_double_nothing(url: str, engine: Engine) -> None:
    """Two at a time, kill -9 at a random instant, KILLS times and until some work was done; what is left then runs to its end."""
    ledger, documents, chance = Ledger(engine), Documents(engine), random.Random(20261125)
    ledger.links.add(links(PAGES), now=NOON)
    left, kills = [PAGES], 0
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["mortal"])
    for number in range(0, 100, 2):
        is_killed = kills < KILLS or left[-1] == PAGES
        begun = [processes.Event(), processes.Event()]
        pair = [processes.Process(target=crawl_and_read, args=(url, number + one, begun[one])) for one in range(2)]
        for process in pair:
            process.start()
        for process, event in zip(pair, begun, strict=True):
            assert event.wait(60)
            if is_killed:
                time.sleep(chance.uniform(0, 0.1 + kills / 10))  # the slower the machine, the later
                process.kill()
                kills += 1
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
        left.append(ledger.progress.count().pending)
        if not is_killed and not left[-1]:
            break
    outcomes = ledger.progress.count().outcomes
    assert sum(outcomes.values()) == PAGES
    assert set(outcomes) <= {Outcome.STORED, Outcome.DIED}
    assert documents.count() == outcomes[Outcome.STORED] >= PAGES - 5
    assert {document.revision for document in documents.iterate()} == {1}
