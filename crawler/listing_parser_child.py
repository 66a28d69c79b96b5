"""The child process that parses listings: requests on stdin, links on stdout, until stdin closes. listing_parser.py starts it."""

from __future__ import annotations

import resource
import signal
import struct
import sys
from typing import BinaryIO

from pydantic import TypeAdapter

from crawler.listings import ParsedLinks, ParseRequest, read_listing
from newsmill.exceptions import DecodeError, ListingError
from newsmill.model import Kind
from newsmill.sandbox.child import die_with_parent

MAX_MEMORY_BYTES = 768 << 20  # of address space; a sitemap of 50 MB takes 60 MB
# For one listing: all hosts share the child. Three times the cost of the largest honest listings: 6.5 s for a news sitemap of 50 MB with
# 48,000 entries; 0.8 s for a feed, a section or a homepage of 10 MB.
MAX_SITEMAP_CPU_SECONDS, MAX_CPU_SECONDS = 20, 5
MAX_ERROR_CHARACTERS = 500

REQUEST_JSON: TypeAdapter[ParseRequest] = TypeAdapter(ParseRequest)
LINKS_JSON: TypeAdapter[ParsedLinks] = TypeAdapter(ParsedLinks)

# A message is its length and its bytes. A request is two messages, its JSON and the listing's body.
LENGTH = struct.Struct(">I")
# A response is one or more messages. The first byte is the kind.
LINKS = b"p"  # LINKS_JSON follows, and another message
END = b"e"  # the listing has been parsed
BAD_LISTING = b"l"  # the reason follows
BAD_BODY = b"d"  # the outcome, a line break and the reason follow


def main() -> None:
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    requests, responses = sys.stdin.buffer, sys.stdout.buffer
    while (head := read_message(requests)) is not None:
        body = read_message(requests)
        request = REQUEST_JSON.validate_json(head)
        limit_cpu(request.kind)
        respond(request, body or b"", responses)


def respond(request: ParseRequest, body: bytes, responses: BinaryIO) -> None:
    """Parse the listing and write its links, batch by batch."""
    try:
        for links in read_listing(request, body):
            write_message(responses, LINKS + LINKS_JSON.dump_json(links))
        write_message(responses, END)
    except ListingError as e:
        write_message(responses, BAD_LISTING + str(e)[:MAX_ERROR_CHARACTERS].encode("utf-8", "replace"))
    except DecodeError as e:
        write_message(responses, BAD_BODY + f"{e.outcome}\n{e}"[:MAX_ERROR_CHARACTERS].encode("utf-8", "replace"))


def read_message(stream: BinaryIO) -> bytes | None:
    """The next message, or None when the other side has closed the stream."""
    length = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(length)[0]) if len(length) == LENGTH.size else None


def write_message(stream: BinaryIO, message: bytes) -> None:
    stream.write(LENGTH.pack(len(message)) + message)
    stream.flush()


def limit_cpu(kind: Kind) -> None:
    """Have the kernel end this process (SIGPROF) when the next listing exceeds its CPU time. RLIMIT_CPU would count all listings."""
    signal.setitimer(signal.ITIMER_PROF, MAX_SITEMAP_CPU_SECONDS if kind is Kind.SITEMAP else MAX_CPU_SECONDS)


if __name__ == "__main__":
    main()
