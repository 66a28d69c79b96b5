"""The child that reads listings: orders on stdin, parts on stdout, until stdin closes. parser.py starts it."""

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

MAX_MEMORY_BYTES = 768 << 20  # bytes of address space; a 50 MB sitemap takes 60
# For one listing, because all hosts share the child. Three times what the largest honest one takes: 6.5 s for a news sitemap of 50 MB with
# 48,000 entries; 0.8 s for a feed, a section or a homepage of 10 MB.
MAX_SITEMAP_CPU_SECONDS, MAX_CPU_SECONDS = 20, 5

REQUEST_JSON: TypeAdapter[ParseRequest] = TypeAdapter(ParseRequest)
LINKS_JSON: TypeAdapter[ParsedLinks] = TypeAdapter(ParsedLinks)

SIZE = struct.Struct(">I")
# First byte of an answer.
PART = b"p"  # a Found follows, more may come
END = b"e"  # that was all
BAD_LISTING = b"l"  # why it is no listing
BAD_BODY = b"d"  # the outcome, a line break, and why the body cannot be unpacked


def main() -> None:
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    while (head := take(orders)) is not None:
        body = take(orders)
        order = REQUEST_JSON.validate_json(head)
        limit_cpu(order.kind)
        answer(order, body or b"", answers)


def answer(order: ParseRequest, body: bytes, answers: BinaryIO) -> None:
    try:
        for found in read_listing(order, body):
            give(answers, PART + LINKS_JSON.dump_json(found))
        give(answers, END)
    except ListingError as e:
        give(answers, BAD_LISTING + str(e)[:500].encode("utf-8", "replace"))
    except DecodeError as e:
        give(answers, BAD_BODY + f"{e.outcome}\n{e}"[:500].encode("utf-8", "replace"))


def take(stream: BinaryIO) -> bytes | None:
    """The next message; None when the other side has closed."""
    size = stream.read(SIZE.size)
    return stream.read(SIZE.unpack(size)[0]) if len(size) == SIZE.size else None


def give(stream: BinaryIO, message: bytes) -> None:
    stream.write(SIZE.pack(len(message)) + message)
    stream.flush()


def limit_cpu(kind: Kind) -> None:
    """The kernel ends this process (SIGPROF) when this listing has used its CPU; sandbox_child.py says why it is no resource limit."""
    signal.setitimer(signal.ITIMER_PROF, MAX_SITEMAP_CPU_SECONDS if kind is Kind.SITEMAP else MAX_CPU_SECONDS)


if __name__ == "__main__":
    main()
