"""The ledger as other packages use it: the nouns over one database.

A Ledger may be shared between threads (its engine's pool gives each call its own connection), not across a fork. One call of a noun's
method is one transaction, unless its docstring says otherwise.

**Fences.** A lease or claim comes with a number, the fence, and every write names it. The write of a process that lost its lease finds a
higher number and changes nothing. Every call of crawlers and workers may therefore be made twice, late, or at the same time by several
processes.
"""

from __future__ import annotations

from sqlalchemy import Engine

from newsmill.storage.ledger.backfills import Backfills
from newsmill.storage.ledger.barred_urls import BarredUrls
from newsmill.storage.ledger.claims import Claims
from newsmill.storage.ledger.clock_repair import ClockRepair
from newsmill.storage.ledger.counters import Counters
from newsmill.storage.ledger.deferred import DeferredPages
from newsmill.storage.ledger.due_revisits import DueRevisits
from newsmill.storage.ledger.host_leases import Hosts
from newsmill.storage.ledger.links import Links
from newsmill.storage.ledger.listing_moves import ListingMoves
from newsmill.storage.ledger.modified_pages import ModifiedPages
from newsmill.storage.ledger.poll_plans import PollPlans
from newsmill.storage.ledger.polls import Polls
from newsmill.storage.ledger.progress import ProgressCounts
from newsmill.storage.ledger.pushes import Pushes
from newsmill.storage.ledger.rendering import Rendering
from newsmill.storage.ledger.result_commits import Results
from newsmill.storage.ledger.retries import Retries
from newsmill.storage.ledger.segments import Segments
from newsmill.storage.ledger.sources import Sources
from newsmill.storage.ledger.submitted_pages import SubmittedPages
from newsmill.storage.ledger.traces import Traces
from newsmill.storage.ledger.url_endings import UrlEndings
from newsmill.storage.ledger.url_leases import DeadLeases, UrlLeases
from newsmill.storage.publishers import Publishers


class Ledger:
    """Every call may raise ServiceError: the database is unreachable, locked, full, or refuses the connection."""

    def __init__(self, engine: Engine) -> None:
        self.sources = Sources(engine)
        self.rendering = Rendering(engine)
        self.listing_moves = ListingMoves(engine)
        self.links = Links(engine)
        self.polls = Polls(engine)
        self.poll_plans = PollPlans(engine)
        self.hosts = Hosts(engine)
        self.url_leases = UrlLeases(engine)
        self.url_endings = UrlEndings(engine)
        self.publishers = Publishers(engine)
        self.pushes = Pushes(engine)
        self.claims = Claims(engine)
        self.segments = Segments(engine)
        self.results = Results(engine)
        self.barred_urls = BarredUrls(engine)
        self.submitted_pages = SubmittedPages(engine)
        self.traces = Traces(engine)
        self.progress = ProgressCounts(engine)
        self.counters = Counters(engine)
        self.retries = Retries(engine)
        self.modified_pages = ModifiedPages(engine)
        self.due_revisits = DueRevisits(engine)
        self.dead_leases = DeadLeases(engine)
        self.clock_repair = ClockRepair(engine)
        self.deferred = DeferredPages(engine)
        self.backfills = Backfills(engine)
