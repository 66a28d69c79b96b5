"""A name server on 127.0.0.1 that answers queries for TXT records over UDP, and a resolver that asks it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from dns.resolver import Resolver

Reply = Sequence[str] | Callable[[dns.message.Message], bytes | None]


class DnsServer:
    """`replies` maps a name with its final dot to the texts of its records, or to a function that makes the response (None: silence).

    Other names do not exist. `queries` are the names that were asked for.
    """

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.queries: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="dns-server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.sendto(b"", self._socket.getsockname())  # an empty datagram ends the thread
        self._thread.join()
        self._socket.close()

    def make_resolver(self) -> Resolver:
        """A resolver that asks this server only."""
        resolver = Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], self._socket.getsockname()[1]
        return resolver

    def _serve(self) -> None:
        while True:
            wire, client = self._socket.recvfrom(4096)
            if not wire:
                return
            if (answer := self._answer(dns.message.from_wire(wire))) is not None:
                self._socket.sendto(answer, client)

    def _answer(self, query: dns.message.Message) -> bytes | None:
        name = query.question[0].name.to_text()
        self.queries.append(name)
        reply = self.replies.get(name)
        if callable(reply):
            return reply(query)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if reply is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            response.answer.append(dns.rrset.from_text_list(name, 300, "IN", "TXT", reply))
        return response.to_wire()
