"""`newsmill keys`: the keys that sign requests."""

from __future__ import annotations

from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import Json, note, now, print_json, print_table
from newsmill.exceptions import ConfigError
from newsmill.network.message_signatures import find_agent_url
from newsmill.network.signing_keys import (
    MAX_PUBLISHED,
    add_key,
    choose_key,
    choose_published,
    find_start,
    keys_folder,
    read_keys,
    remove_key,
)
from newsmill.settings import Settings
from newsmill.web.config import DIRECTORY_PATH

keys = typer.Typer(no_args_is_help=True, help="Create, list and remove the keys that sign requests (Web Bot Auth).")


@keys.command("new")
def make_new_key() -> None:
    """Create a key. The first key signs at once; a later key is published now, and replaces the others after two days."""
    settings = configuration.load()
    context.make_folder(context.data_folder(settings))
    if len(choose_published(read_keys(keys_folder(settings)), now())) >= MAX_PUBLISHED:  # another one would hide the one that signs
        raise ConfigError(
            f"{MAX_PUBLISHED} keys are published already; remove one that does not sign (`newsmill keys list`), or try again in two days"
        )
    key = add_key(keys_folder(settings), now=now())
    typer.echo(key.id)
    known = read_keys(keys_folder(settings))
    note(f"signs from {find_start(known, len(known) - 1):%Y-%m-%d %H:%M} UTC; {describe_signing(settings)}")


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys with their times and states, without their private parts."""
    settings = configuration.load()
    known, at = read_keys(keys_folder(settings)), now()
    current, published = choose_key(known, at), choose_published(known, at)
    records = [
        {
            "id": key.id,
            "created": key.created_at,
            "signs_from": find_start(known, number),
            "state": "signs" if key == current else "published" if key in published else "retired",
        }
        for number, key in enumerate(known)
    ]
    if as_json:
        print_json(records)
    elif records:
        print_table(("id", "created", "signs from", "state"), [list(record.values()) for record in records])
    note(describe_signing(settings) if records else "no key exists, and no request is signed; make one with `newsmill keys new`")


@keys.command("remove")
def remove_signing_key(key_id: Annotated[str, typer.Argument(metavar="ID", help="ID of the key, as in `newsmill keys list`.")]) -> None:
    """Delete a key, for example because somebody else may know it. Verifiers forget it after a day."""
    settings = configuration.load()
    if not remove_key(keys_folder(settings), key_id):
        raise ConfigError(f"no key has the id {key_id[:80]!r}; run `newsmill keys list` to see all")
    note("removed; crawlers stop using it within a minute")


def describe_signing(settings: Settings) -> str:
    """Whether requests are signed, and where verifiers find the keys."""
    agent = find_agent_url(settings)
    if agent is None:
        return "no request is signed before NEWSMILL_PUBLIC_URL is set to an https URL"
    return f"requests are signed; the keys are at {agent}{DIRECTORY_PATH}"
