"""The source of a crawl: the one that follows the site already, or a new one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from newsmill.cli.add_input import get_default_name
from newsmill.cli.terminal import note
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.site_inspection.plan import is_homepage
from newsmill.sources.additions import list_hosts
from newsmill.text.urls import make_key, normalize


@dataclass(frozen=True, slots=True)
class Changes:
    """What the options of a crawl change of a source that exists."""

    delay: float | None = None
    language: str | None = None

    def apply_to(self, source: Source) -> Source:
        """The source with what was given."""
        delay = source.politeness.delay if self.delay is None else self.delay
        return replace(source, politeness=replace(source.politeness, delay=delay), language=self.language or source.language)


def choose_source(store: AppContext, source: Source, changes: Changes) -> Source:
    """The source to crawl: one that exists with this name or this homepage, with the changes; else the new one.

    A URL belongs to one source, so a second one would find nothing. Raises ConfigError for a name that follows another homepage, and for a
    paused source.
    """
    followed = store.ledger.sources.get(source.name)
    if owner := find_owner(store, source):
        raise ConfigError(
            f"{source.homepage} is already followed by {owner.name}: run `newsmill crawl {owner.homepage}`, or `newsmill add"
            f" {source.homepage}` to add this section; --name makes a source of its own"
        )
    if followed is not None and not have_same_homepage(followed, source):
        raise ConfigError(
            f"source {followed.name} exists and follows {followed.homepage or 'no homepage'}; `newsmill add {source.homepage}` adds to it,"
            " and --name makes a source of its own"
        )
    if followed is None and (name := find_same_homepage(store, source)) is not None:
        followed = store.ledger.sources.get(name)
        note(f"source {name} already follows {source.homepage}; this run uses it")
    if followed is None:
        return source
    if not followed.enabled:
        raise ConfigError(f"source {followed.name} is paused; run `newsmill sources resume {followed.name}` first")
    return changes.apply_to(followed)


def find_owner(store: AppContext, source: Source) -> Source | None:
    """The source that follows the homepage of the host of a section; None for a homepage, and for a name that the user chose."""
    if source.homepage is None or is_homepage(source.homepage) or source.name != get_default_name(source.homepage):
        return None
    hosts, others = list_hosts(source), store.ledger.sources.list_all()
    if any(have_same_homepage(other, source) for other in others):
        return None
    return next((other for other in others if other.homepage is not None and hosts & list_hosts(other)), None)


def find_same_homepage(store: AppContext, source: Source) -> str | None:
    """The name of another source with the same homepage."""
    others = (other for other in store.ledger.sources.list_all() if other.name != source.name)
    return next((other.name for other in others if have_same_homepage(other, source)), None)


def have_same_homepage(one: Source, other: Source) -> bool:
    """Whether both have a homepage, with the same key."""
    return None not in (one.homepage, other.homepage) and make_key(normalize(str(one.homepage))) == make_key(normalize(str(other.homepage)))
