"""The channels of alerts (e-mail, web hooks, services of Apprise): which targets are allowed, and how a message reaches one."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.settings import Settings, is_email_address
from newsmill.storage.saved_searches import Alert, Channel
from newsmill.storage.tokens import Scope
from newsmill.text.redaction import redact
from newsmill.version import install_hint
from newsmill.web.apprise_child import AppriseMessage, find_refusal, run_apprise
from newsmill.web.http_client import DeliveryError, build_headers, find_target_refusal, post

MAX_TARGET_CHARACTERS = 2000
GONE = 410  # the status of a receiver that wants no more messages


@dataclass(frozen=True, slots=True)
class AlertContent:
    """A message for every channel: text and HTML for people, `payload` (JSON) for programs. `id` is the same in each try."""

    id: str
    at: datetime
    title: str
    text: str
    html: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """Where a message goes. `secret` signs messages to a web hook; without it they are not signed."""

    channel: Channel
    target: str
    secret: str | None


class TargetGoneError(DeliveryError):
    """Raised when a receiver says that it wants no more messages."""


def check_target(channel: Channel, target: str, settings: Settings) -> str:
    """The target of an alert without blanks around it. Raises ConfigError if it is invalid or the administrator does not allow it."""
    target = target.strip()
    if not target or len(target) > MAX_TARGET_CHARACTERS:
        raise ConfigError(f"target: expected 1 to {MAX_TARGET_CHARACTERS} characters")
    if channel is Channel.EMAIL:
        check_recipient(target, settings)
    elif channel is Channel.WEBHOOK:
        check_webhook(target, settings)
    else:
        check_service(target, settings)
    return target


def find_needed_scope(channel: Channel, settings: Settings) -> Scope:
    """The scope that adding an alert needs: alerts send parts of the corpus, so an administrator lists or adds the receiver."""
    is_listed = channel is Channel.APPRISE or (channel is Channel.EMAIL and bool(settings.mail_to))
    return Scope.WRITE if is_listed else Scope.ADMIN


def check_recipient(target: str, settings: Settings) -> None:
    """Raises ConfigError for an e-mail address to which no alert may be sent."""
    if mail_server(settings) is None:
        raise ConfigError("e-mail is not set up; the administrator sets NEWSMILL_SMTP_URL and NEWSMILL_MAIL_FROM")
    if not is_email_address(target):
        raise ConfigError(f"target: expected one e-mail address, not {target[:80]!r}")
    allowed = [entry.lower() for entry in settings.mail_to]
    if allowed and target.lower() not in allowed and target.lower().rpartition("@")[2] not in allowed:
        raise ConfigError(
            f"target: alerts to {target[:80]!r} are not allowed; the administrator lists e-mail addresses and domains in NEWSMILL_MAIL_TO"
        )


def check_webhook(target: str, settings: Settings) -> None:
    """Raises ConfigError for a URL that is not called."""
    if reason := find_target_refusal(target, Guard.from_networks(map(str, settings.allow_nets))):
        raise ConfigError(f"target: {reason}")


def check_service(target: str, settings: Settings) -> None:
    """Raises ConfigError for the URL of a service that the administrator does not allow, or that Apprise does not understand."""
    problem = find_refusal(target, settings.apprise)
    if problem is None and find_spec("apprise") is None:
        problem = f"Apprise is not installed; run {install_hint('alerts')}"
    if problem is None:
        problem = run_apprise(AppriseMessage(target, settings.apprise, [str(net) for net in settings.allow_nets]))
    if problem is not None:
        raise ConfigError(f"target: {problem}")


def send_alert(context: AppContext, alert: Alert, message: AlertContent) -> None:
    """Send a message to the target of an alert. Raises DeliveryError."""
    send_message(context, AlertTarget(alert.channel, alert.target, alert.secret), message)


def send_message(context: AppContext, target: AlertTarget, message: AlertContent) -> None:
    """Send a message. Raises DeliveryError.

    The target is checked again, because the administrator may have changed what is allowed.
    """
    settings = context.settings
    try:
        if target.channel is Channel.EMAIL:
            check_recipient(target.target, settings)
        elif target.channel is Channel.WEBHOOK:
            check_webhook(target.target, settings)
    except ConfigError as error:
        raise DeliveryError(str(error)) from None
    if target.channel is Channel.EMAIL:
        send_by_mail(target.target, message, settings)
    elif target.channel is Channel.WEBHOOK:
        send_by_webhook(context, target, message)
    else:
        send_by_apprise(target.target, message, settings)


def send_by_mail(recipient: str, message: AlertContent, settings: Settings) -> None:
    server = mail_server(settings)
    if server is None:
        raise DeliveryError("e-mail is not set up")
    mail = Mail(message.id, message.title, message.text, message.html, message.at)
    send_mail(server, build_mail(mail, server.sender, recipient), recipient)


def send_by_webhook(context: AppContext, target: AlertTarget, message: AlertContent) -> None:
    body = json.dumps(message.payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    guard = Guard.from_networks(map(str, context.settings.allow_nets))
    status = post(target.target, body, build_headers(message.id, target.secret, body, context.now()), guard)
    if status == GONE:
        raise TargetGoneError(f"the receiver answered {status}")
    if not 200 <= status < 300:
        raise DeliveryError(f"the receiver answered {status}")


def send_by_apprise(url: str, message: AlertContent, settings: Settings) -> None:
    nets = [str(net) for net in settings.allow_nets]
    problem = run_apprise(AppriseMessage(url, settings.apprise, nets, message.title, message.text))
    if problem is not None:
        raise DeliveryError(redact(problem))


# ---- e-mail to one recipient, through the mail server of the settings ----------------------------------------------------------

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
        raise DeliveryError(f"a header of the e-mail is not valid: {error}") from None
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
        raise DeliveryError(f"the mail server refused the recipient: {describe_reply(code, reply)}") from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(f"the mail server answered {describe_reply(error.smtp_code, error.smtp_error)}") from None
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"the certificate of the mail server is not valid: {error.verify_message}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(f"the connection to the mail server failed ({type(error).__name__})") from None


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
                raise DeliveryError("the mail server offers no encryption, so the password was not sent; use smtps:// or another port")
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
