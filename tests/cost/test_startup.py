"""What a process loads when it starts, counted without the standard library, which differs by version of Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cost.limits import find_excess

COUNT = """
import json, re, sys
from re import _compiler
compiled, compile_ = set(), _compiler.compile
def count(pattern, flags=0):
    frame = sys._getframe(1)
    while frame.f_globals["__name__"].partition(".")[0] in ("re", "newsmill.text.lazy_re"):
        frame = frame.f_back
    compiled.add((frame.f_globals["__name__"], pattern, flags))
    return compile_(pattern, flags)
_compiler.compile = count
def is_counted(name):
    return name.partition(".")[0] not in sys.stdlib_module_names
import {modules}
print(json.dumps([sum(map(is_counted, sys.modules)), sum(is_counted(name) for name, *_ in compiled)]))
"""
PROCESSES = {
    "health": "newsmill.cli.health",
    "status": "newsmill.cli.status, newsmill.archive.archive, newsmill.storage.ledger.takedowns, newsmill.storage.tokens",
    "crawl": "newsmill.cli.crawl, workers.scheduler, workers.worker",
    "worker": "newsmill.cli.processes.services, workers.worker",
    "crawler": "newsmill.cli.processes.services, crawler.process",
    "page readers": "newsmill.sandbox.preload, newsmill.sandbox.page_handler, crawler.listings.reader",
}


def test_a_process_loads_what_it_uses() -> None:
    started = {
        name: subprocess.Popen([sys.executable, "-c", COUNT.format(modules=modules)], stdout=subprocess.PIPE, text=True)
        for name, modules in PROCESSES.items()
    }
    costs = {}
    for name, process in started.items():
        printed = process.communicate(timeout=120)[0]
        costs[f"modules, {name}"], costs[f"patterns, {name}"] = json.loads(printed)
    assert find_excess(costs) == {}


FIRST_PAGE = """
import sys
import newsmill.sandbox.preload
from datetime import UTC, datetime
from pathlib import Path
from justext.core import define_stoplist
from newsmill.extraction.pipeline import read
from newsmill.model import Page
modules, misses = set(sys.modules), define_stoplist.cache_info().misses
url = "http://127.0.0.1/404"
read(Page(url, url, datetime.now(UTC), 200, (("Content-Type", "text/html"),), Path(sys.argv[1]).read_bytes()))
print(sorted(set(sys.modules) - modules), define_stoplist.cache_info().misses - misses)
"""


def test_the_first_page_of_a_child_loads_nothing() -> None:
    """A page with little text needs the stop words of jusText, 0.09 s of CPU. On a busy machine it reached the limit of such a page."""
    page = Path(__file__).parents[1] / "newspaper" / "site" / "404.html"
    done = subprocess.run([sys.executable, "-c", FIRST_PAGE, str(page)], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[] 0\n", done.stderr
