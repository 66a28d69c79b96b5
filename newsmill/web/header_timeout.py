"""A time limit for the header of a request."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEADER_SECONDS = 10.0  # from the connection, or from the first byte of a later request, to the end of the request header


class TimedProtocol(H11Protocol):
    """uvicorn's protocol with a time limit for the request header, which uvicorn does not have."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(MAX_HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:  # the header is complete; LimitedBody limits the body
            self._cancel_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(MAX_HEADER_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
