"""`newsmill web`: runs the web server."""

from __future__ import annotations

import html
import sys
import threading
import webbrowser
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill.cli.processes.process_start import Supervised, prepare
from newsmill.cli.terminal import note, now
from newsmill.context import AppContext
from newsmill.settings import Settings
from newsmill.storage.owner_ids import make_owner_id
from newsmill.storage.private_files import SIGN_IN_PAGE, TOKEN_FILE, write_private_file
from newsmill.storage.tokens import Scope, TokenKind
from newsmill.storage.web_token import provide_web_token
from newsmill.web.config import WebConfig, make_local_key

LINK_HOURS = 24
Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 selects a free one; default: from NEWSMILL_WEB.")]


def web(
    host: Annotated[str | None, typer.Option("--host", help="IP address to listen on; default: from NEWSMILL_WEB.")] = None,
    port: Port = None,
    supervised: Supervised = False,
) -> None:
    """Serve the web pages and the HTTP API.

    Every request needs a token or a browser session. The printed link opens a session with full access; on a desktop, a browser opens it.
    The file web-token of the data folder holds a token for programs and later sessions, unless NEWSMILL_WEB_TOKEN sets one.
    """
    # FastAPI costs 0.9 s of CPU, which the other commands of this module need not spend
    from newsmill.web import serve

    settings = prepare(supervised)
    with context.open_context(settings, create=True) as store:
        config = make_web_config(settings, host, port, provide_token(store))
        listener = serve.listen(config)
        if not supervised:
            link = announce(store, config, listener.getsockname()[1])
            open_in_browser(link, context.data_folder(settings) / SIGN_IN_PAGE)
        raise typer.Exit(serve.run(store, config, listener))


def provide_token(store: AppContext) -> str:
    """The server's own token, as `provide_web_token` returns it."""
    settings = store.settings
    return provide_web_token(store.tokens, context.data_folder(settings), settings.web_token, now=store.now())


def make_web_config(settings: Settings, host: str | None, port: int | None, token: str) -> WebConfig:
    """The settings of the server with this token; `host` and `port` of the command line override NEWSMILL_WEB."""
    default_host, default_port = settings.web_listen or ("127.0.0.1", 8470)
    return WebConfig(
        host=host or default_host,
        port=default_port if port is None else port,
        url=settings.web_url,
        hosts=settings.web_hosts,
        public_url=settings.public_url,
        allow_nets=tuple(map(str, settings.allow_nets)),
        rate=settings.web_rate,
        shows_images=settings.web_images,
        local_key=make_local_key(token),
    )


def announce(store: AppContext, config: WebConfig, port: int) -> str | None:
    """Print the URL; without NEWSMILL_WEB_TOKEN, return and print a link for one sign-in that ends with this process."""
    base = config.base_url(port)
    if store.settings.web_token is not None:
        note(f"web pages and API: {base}/ (sign in with NEWSMILL_WEB_TOKEN)")
        return None
    link = f"{base}/login?key={add_link(store, make_owner_id())}"
    note(f"web pages and API: {link} (valid once, for {LINK_HOURS} hours)")
    note(f"token for programs and later sessions: in {context.data_folder(store.settings) / TOKEN_FILE}")
    return link


def add_link(store: AppContext, name: str = "link") -> str:
    """The secret of a new sign-in link. A link named after a process ends with that process."""
    return store.tokens.add(name, Scope.ADMIN, now=now(), kind=TokenKind.LINK, life=timedelta(hours=LINK_HOURS))


def open_in_browser(link: str | None, page: Path) -> None:
    """Open the link in the browser of a desktop. The private file `page` leads to it, because other users can see command lines."""
    if link is None or not sys.stderr.isatty():
        return
    try:
        browser = webbrowser.get()
        if type(browser) is webbrowser.GenericBrowser:  # it would take this terminal
            return
        write_private_file(page, f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(link)}">')
    except (webbrowser.Error, OSError):  # the link is printed
        return
    threading.Thread(target=browser.open, args=(page.resolve().as_uri(),), daemon=True).start()  # it may take seconds
