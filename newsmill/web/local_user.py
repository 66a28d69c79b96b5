"""Whether a connection comes from a process of the user who runs this server, on the same machine. Linux only: elsewhere nobody is known.

Such a process may read and change the data folder anyway, so it needs no token.
"""

from __future__ import annotations

import os
import sys
from ipaddress import ip_address
from pathlib import Path

TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
LOCAL, REMOTE, UID = 1, 2, 7  # columns; proc(5)
Address = tuple[str, int]  # an IP address and a port


def is_own_connection(client: Address | None, server: Address | None) -> bool:
    """Whether the socket at the client's end belongs to this process's user."""
    if client is None or server is None:
        return False
    try:
        table = TABLES[ip_address(client[0]).version].read_text(encoding="ascii")
        ends = [_format_address(client), _format_address(server)]
    except (OSError, ValueError):  # no such table, or not an IP address
        return False
    rows = (line.split() for line in table.splitlines()[1:])
    return any(row[LOCAL : REMOTE + 1] == ends and row[UID] == str(os.geteuid()) for row in rows)


def _format_address(address: Address) -> str:
    """As the kernel writes it: the IP address in words of 32 bits in the machine's byte order."""
    packed = ip_address(address[0]).packed
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return f"{''.join(f'{word:08X}' for word in words)}:{address[1]:04X}"
