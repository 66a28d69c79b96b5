"""A mail server that keeps what it gets: real SMTP on a loopback port, without encryption."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default


@dataclass
class Mailbox:
    """The messages that came, with sender and recipients of the envelope; and replies to refuse recipients with."""

    url: str = ""
    refusals: list[str] = field(default_factory=list)
    got: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)


@contextmanager
def mail_server(host: str = "127.0.0.1") -> Iterator[Mailbox]:
    """A server that takes every message."""
    box = Mailbox()

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            sender, recipients = "", list[str]()
            self.reply("220 test")
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                verb = line.partition(" ")[0].upper()
                if verb == "EHLO":
                    self.reply("250-test\r\n250 AUTH PLAIN")
                elif verb == "AUTH":
                    box.logins.append(line)
                    self.reply("235 yes")
                elif verb == "MAIL":
                    sender = line
                    self.reply("250 yes")
                elif verb == "RCPT":
                    recipients.append(line)
                    self.reply(box.refusals.pop(0) if box.refusals else "250 yes")
                elif verb == "DATA":
                    self.reply("354 go on")
                    content = b"".join(iter(self.rfile.readline, b".\r\n")).replace(b"\r\n..", b"\r\n.")
                    message = message_from_bytes(content, policy=default)
                    assert isinstance(message, EmailMessage)
                    box.got.append((sender, recipients, message))
                    self.reply("250 kept")
                else:
                    self.reply("221 bye" if verb == "QUIT" else "250 yes")
                    if verb == "QUIT":
                        return

        def reply(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    server = Server((host, 0), Session)
    box.url = f"smtp://news:hush%40hush@{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
