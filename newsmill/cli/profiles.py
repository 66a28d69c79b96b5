"""`newsmill profiles`: site profiles of a store as a file, which another store or `newsmill extract --profiles` uses."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.batch.profile_file import ProfileFile, write_profiles
from newsmill.cli.output_file import open_output
from newsmill.cli.terminal import format_count, note
from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError
from newsmill.model import Profile

app = typer.Typer(no_args_is_help=True, help="Export and import what was learned of each site.")

IMPORTED, KEPT, KNOWN = "imported", "kept", "known"
NEVER = datetime(1, 1, 1, tzinfo=UTC)


@app.command("export")
def export_profiles(path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)]) -> None:
    """Write the newest profile of each site to FILE, for `newsmill profiles import` and `newsmill extract --profiles`."""
    with context.open_context(configuration.load()) as store, tempfile.TemporaryDirectory(prefix="newsmill-profiles-") as folder:
        sites = [counts.site for counts in store.fast_path_stats.newest_counts()]
        if not sites:
            raise NewsmillError("no site has a profile yet; a site gets one with its fifth document")
        made = Path(folder) / "profiles.jsonl.gz"
        write_profiles(made, list_newest(store, sorted(sites)), sources="")
        with made.open("rb") as file, open_output(path) as out:
            shutil.copyfileobj(file, out)
    note(f"{path}: {format_count(len(sites), 'profile')}")


def list_newest(store: AppContext, sites: list[str]) -> Iterator[Profile]:
    """The newest profiles of the sites."""
    for site in sites:
        profile = store.profiles.latest(site)
        if profile is not None:
            yield profile


@app.command("import")
def import_profiles(
    name: Annotated[str, typer.Argument(metavar="FILE|URL", help="A file of site profiles, or its URL.", show_default=False)],
) -> None:
    """Store the profiles of a file that `newsmill profiles export` or `newsmill extract --learn` wrote.

    The store keeps its own profile of a site if that is from a newer layout or from at least as many pages.
    Stored documents that a new profile changes are extracted again.
    """
    with ProfileFile(name) as profiles, context.open_context(configuration.load(), create=True) as store:
        counts = Counter(import_profile(store, profile) for profile in profiles)
    kept = f", {counts[KEPT]:,} older than those of the store, which were kept" if counts[KEPT] else ""
    known = f", {counts[KNOWN]:,} already known" if counts[KNOWN] else ""
    note(f"{format_count(counts[IMPORTED], 'profile')} imported{kept}{known}")


def import_profile(store: AppContext, profile: Profile) -> str:
    """Store a profile as a new version, unless the store has a newer one or the same; returns what was done."""
    stored = store.profiles.latest(profile.site)
    if stored is not None and without_history(stored) == without_history(profile):
        return KNOWN
    if stored is not None and rank(profile) <= rank(stored):
        return KEPT
    new = replace(profile, version=0 if stored is None else stored.version)
    # Documents of this store, so that it learns the site again when it has many of its own.
    added = store.profiles.put(new, documents=store.profiles.count(profile.site, profile.since), now=store.now())
    return KEPT if added is None else IMPORTED  # another process has just stored a version


def without_history(profile: Profile) -> Profile:
    """What was learned, without what a store counted since."""
    return replace(profile, version=0, looked_at=0, fast=True)


def rank(profile: Profile) -> tuple[datetime, int]:
    """By which the newer of two profiles is found: the layout, then the number of pages."""
    return profile.since or NEVER, profile.pages
