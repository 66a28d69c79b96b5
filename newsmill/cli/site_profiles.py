"""`newsmill sources profile`: what was learnt of the sites of a source."""

from __future__ import annotations

from typing import Any

import typer

from newsmill import settings as configuration
from newsmill.cli import context
from newsmill.cli.context import Store
from newsmill.cli.status import profile_of
from newsmill.cli.terminal import note, print_json, print_table, printable
from newsmill.extraction.site_profile import apply_profile, fast_path, field_positions
from newsmill.model import Profile
from newsmill.storage.fast_path_stats import Ways

LINES = 10  # of a site that are shown; `--json` has all


def run(name: str, as_json: bool) -> None:
    """Print it. Raises ConfigError for an unknown source."""
    with context.open_store(configuration.load()) as store:
        if all(source.name != name for source in store.ledger.sources()):
            raise context.unknown_source(store, name)
        found = [profile for site in store.profiles.of_sources([name]) if (profile := store.profiles.latest(site)) is not None]
        if as_json:
            print_json([report(store, profile) for profile in found])
        elif found:
            for profile in found:
                print_profile(report(store, profile))
        else:
            note(f"nothing is known of the sites of {name} yet: they are learnt once they have five documents")


def report(store: Store, profile: Profile) -> dict[str, Any]:
    """What is known of a site, where its fields stand, which lines go, and how its pages are read."""
    taken = next((profile_of(taken) for taken in Ways(store.engine).taken() if taken.site == profile.site), {})
    return taken | {
        "pages": profile.pages,
        "fit": profile.fit,
        "reach": profile.reach,
        "agreement": profile.agreement,
        "proven": fast_path.proven(profile),
        "fields": {
            name: [
                {"path": path, "pages": seen.pages, "agreed": seen.agreed, "proven": path == field_positions.proven(profile, name)}
                for path, seen in found.items()
            ]
            for name, found in profile.fields.items()
        },
        "lines": {
            key: profile.lines[key].pages for key in sorted(apply_profile.decided(profile), key=lambda key: -profile.lines[key].pages)
        },
    }


def print_profile(found: dict[str, Any]) -> None:
    """One site as a few lines and two small tables."""
    way = "its pages are read by it alone" if found["proven"] else "its pages go the long way"
    typer.echo(f"{found['site']}: profile {found['version']}, from {found['pages']} pages; {way}")
    if found["agreement"] is not None:
        typer.echo(f"on {found['reach']:.0%} of these pages its paths would find the text, F1 {found['agreement']:.3f} to the long way")
    rows = [
        (name, f"{place['agreed']} of {place['pages']}", "yes" if place["proven"] else "no", printable(place["path"]))
        for name, known in found["fields"].items()
        for place in known[:1]
    ]
    if rows:
        print_table(("field", "agreed", "sure", "stands at"), rows)
    lines = [(pages, printable(key.partition(" | ")[2])) for key, pages in list(found["lines"].items())[:LINES]]
    if lines:
        print_table(("pages", "a line that is no part of a text"), lines)
