"""Sends one message through Apprise in a process of its own.

`python -m newsmill.notifications.channels.apprise_child` reads JSON from standard input and writes JSON to standard output.

The process has a time limit and no environment. It connects only to public IP addresses on ports 80 and 443, or to a host that the
administrator has named: a service's URL is written by a user, and Apprise speaks to any host. An audit hook sees every connection.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from newsmill.network.address_guard import Guard, make_guarded_getaddrinfo
from newsmill.notifications.channels.apprise_rules import find_refusal, listed_host
from newsmill.text.sentences import Sentence, dump_sentence, load_sentence

MAX_SECONDS = 30.0  # for start, connection and answer
HOST_TOKENS = frozenset({"host", "hostname"})  # of the URL of a service that has no host of its own
STARTS_PROGRAMS = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.startfile")  # audit events

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AppriseMessage:
    """What the process gets. Without `body` nothing is sent and only the URL is checked."""

    url: str
    services: Sequence[str]  # NEWSMILL_APPRISE
    allow_nets: Sequence[str]
    title: str = ""
    body: str = ""


def run_apprise(message: AppriseMessage) -> str | None:
    """Check the URL of a service and send the message; what went wrong, or None."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "newsmill.notifications.channels.apprise_child"],
            input=json.dumps(asdict(message)),
            capture_output=True,
            text=True,
            timeout=MAX_SECONDS,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"},  # no proxy, no password
            check=False,
        )
        problem = json.loads(done.stdout)["problem"]
    except subprocess.TimeoutExpired:
        return Sentence("no answer within {n:.0f} s", n=MAX_SECONDS)
    except (ValueError, KeyError, TypeError):
        log.warning("the process that sends through Apprise failed: %s", done.stderr[-2000:])
        return Sentence("the process that sends through Apprise failed; the log has the reason")
    return None if problem is None else load_sentence(str(problem))


def send(message: AppriseMessage) -> str | None:
    """Send a message in this process, whose connections are limited from now on; what went wrong, or None."""
    if refusal := find_refusal(message.url, message.services):
        return refusal
    try:
        import apprise
    except ImportError:
        return Sentence("Apprise is not installed")
    host = listed_host(message.url, message.services)
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("apprise").addHandler(handler)
    limit_connections(Guard.from_networks(message.allow_nets), host)
    service: Any = apprise.Apprise.instantiate(message.url)  # one URL: `add` would split a list of URLs
    if service is None or urlsplit(message.url).scheme not in service.schemas():
        return Sentence("Apprise does not understand the URL: see the page of the service in the documentation of Apprise")
    if host is None and HOST_TOKENS & set(service.template_tokens):
        return Sentence(
            "the service {name} needs a host, which the administrator must list in NEWSMILL_APPRISE",
            name=repr(urlsplit(message.url).scheme),
        )
    if not message.body or service.notify(title=message.title, body=message.body, body_format=apprise.NotifyFormat.TEXT):
        return None
    return Sentence("the service refused the message: {reason}", reason=lines[-1]) if lines else Sentence("the service refused the message")


def limit_connections(guard: Guard, host: str | None) -> None:
    """Refuse other programs and connections to anything but public IP addresses, or with `host` to anything but this host."""
    real, trusted = socket.getaddrinfo, set[str]()
    guarded = make_guarded_getaddrinfo(guard, real)

    def getaddrinfo(name: str, port: int, *rest: Any, **more: Any) -> Any:
        if host is None:
            return guarded(name, port, *rest, *more.values())
        if str(name).lower() != host:
            raise socket.gaierror(socket.EAI_NONAME, "not the host of the service")
        answers = real(name, port, *rest, **more)
        trusted.update(str(answer[4][0]) for answer in answers)
        return answers

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(STARTS_PROGRAMS):
            raise PermissionError(f"{event} is not allowed")
        if event in ("socket.connect", "socket.sendto"):
            peer = arguments[1]
            is_trusted = isinstance(peer, tuple) and str(peer[0]) in trusted
            if not is_trusted and (host is not None or not isinstance(peer, tuple) or guard.find_refusal(str(peer[0]), peer[1])):
                raise PermissionError("the service leads into a private network")

    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]  # as it is called through socket
    sys.addaudithook(audit)


def main() -> None:
    """Read a message, send it, and print what went wrong."""
    problem = send(AppriseMessage(**json.load(sys.stdin)))
    print(json.dumps({"problem": None if problem is None else dump_sentence(problem)}))


if __name__ == "__main__":
    main()
