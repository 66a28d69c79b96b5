"""E-mail to one recipient, through the mail server of the settings."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from newsmill.notifications.channels.http_post import DeliveryError
from newsmill.settings import Settings
from newsmill.text.sentences import Sentence

MAIL_STEP_SECONDS = 15.0  # for each step of the exchange
DEFAULT_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where and how mail is handed over."""

    host: str
    port: int
    uses_tls: bool  # from the start
    user: str | None
    password: str | None
    sender: str


def mail_server(settings: Settings) -> MailServer | None:
    """The mail server of the settings; None if it or the sender is not set."""
    if settings.smtp_url is None or settings.mail_from is None:
        return None
    parts = urlsplit(settings.smtp_url)
    user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return MailServer(str(parts.hostname), port, parts.scheme == "smtps", user, password, settings.mail_from)


@dataclass(frozen=True, slots=True)
class Mail:
    """The content of an e-mail. `id` is the same in each try, so that a mailbox may recognise a repeated one."""

    id: str
    subject: str
    text: str
    html: str
    at: datetime


def build_mail(mail: Mail, sender: str, recipient: str) -> EmailMessage:
    """The message with a text and an HTML part. Raises DeliveryError for a header that is not valid.

    EmailMessage refuses line breaks in headers, so no text of a page can add one.
    """
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = sender
        message["To"] = recipient
        # An encoded word (RFC 2047) is decoded here, line breaks included, and written so; without its beginning "=?" there is none.
        message["Subject"] = one_line(mail.subject).replace("=?", "= ?")
        message["Date"] = format_datetime(mail.at)
        message["Message-ID"] = f"<{mail.id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers it automatically
    except (ValueError, HeaderParseError) as error:
        raise DeliveryError(Sentence("a header of the e-mail is not valid: {error}", error=error)) from None
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message


def one_line(text: str) -> str:
    """The text on one line, without control characters.

    >>> one_line("a\\r\\nBcc: b@example.org")
    'a Bcc: b@example.org'
    """
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def send_mail(server: MailServer, message: EmailMessage, recipient: str) -> None:
    """Hand the message over to the server. Raises DeliveryError."""
    try:
        with open_session(server) as session:
            session.send_message(message, parseaddr(server.sender)[1], [recipient])
    except smtplib.SMTPRecipientsRefused as error:
        code, reply = next(iter(error.recipients.values()), (0, b""))
        raise DeliveryError(Sentence("the mail server refused the recipient: {reply}", reply=describe_reply(code, reply))) from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(Sentence("the mail server answered {reply}", reply=describe_reply(error.smtp_code, error.smtp_error))) from None
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(Sentence("the certificate of the mail server is not valid: {error}", error=error.verify_message)) from None
    except UnicodeError:  # smtplib encodes user name and password as ASCII
        raise DeliveryError(Sentence("the mail server takes only ASCII in addresses, user name and password")) from None
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(Sentence("the connection to the mail server failed ({error})", error=type(error).__name__)) from None


def open_session(server: MailServer) -> smtplib.SMTP:
    """A session, encrypted where the server can and always where a password is sent, unless the server is on this machine."""
    context = ssl.create_default_context()
    if server.uses_tls:
        session: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=MAIL_STEP_SECONDS, context=context)
    else:
        session = smtplib.SMTP(server.host, server.port, timeout=MAIL_STEP_SECONDS)
    with ExitStack() as until_ready:
        until_ready.callback(session.close)
        session.ehlo()
        if not server.uses_tls:
            if session.has_extn("starttls"):
                session.starttls(context=context)
                session.ehlo()
            elif server.user is not None and not is_this_machine(server.host):
                raise DeliveryError(
                    Sentence("the mail server offers no encryption, so the password was not sent; use smtps:// or another port")
                )
        if server.user is not None:
            session.login(server.user, server.password or "")
        until_ready.pop_all()
    return session


def is_this_machine(host: str) -> bool:
    """Whether the host is localhost or a loopback IP address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def describe_reply(code: int, reply: bytes | str) -> str:
    """A reply of the server as text."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return f"{code} {one_line(text)[:200]}"
