"""The targets of messages (e-mail, web hooks, services of Apprise): which are allowed, and how a message reaches one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.network.address_guard import Guard
from newsmill.notifications.channels.apprise_child import AppriseMessage, run_apprise
from newsmill.notifications.channels.apprise_rules import find_refusal
from newsmill.notifications.channels.http_post import DeliveryError, find_target_refusal, post_message
from newsmill.notifications.channels.mail import Mail, build_mail, mail_server, send_mail
from newsmill.settings import Settings, is_email_address
from newsmill.storage.alerts import Channel
from newsmill.storage.tokens import Scope
from newsmill.text.redaction import redact
from newsmill.text.sentences import Sentence, keyed
from newsmill.version import install_hint

MAX_TARGET_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class MessageContent:
    """A message for every channel: text and HTML for people, `payload` (JSON) for programs. `id` is the same in each try."""

    id: str
    at: datetime
    title: str
    text: str
    html: str
    payload: Mapping[str, Any]


def check_target(channel: Channel, target: str, settings: Settings) -> str:
    """The target of an alert without blanks around it. Raises ConfigError if it is invalid or the administrator does not allow it."""
    target = target.strip()
    if not target or len(target) > MAX_TARGET_CHARACTERS:
        raise ConfigError(keyed("target", Sentence("expected 1 to {n} characters", n=MAX_TARGET_CHARACTERS)))
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
        raise ConfigError(Sentence("e-mail is not set up; the administrator sets NEWSMILL_SMTP_URL and NEWSMILL_MAIL_FROM"))
    if not is_email_address(target):
        raise ConfigError(keyed("target", Sentence("expected one e-mail address, not {value}", value=repr(target[:80]))))
    allowed = [entry.lower() for entry in settings.mail_to]
    if allowed and target.lower() not in allowed and target.lower().rpartition("@")[2] not in allowed:
        refusal = Sentence(
            "alerts to {target} are not allowed; the administrator lists e-mail addresses and domains in NEWSMILL_MAIL_TO",
            target=repr(target[:80]),
        )
        raise ConfigError(keyed("target", refusal))


def check_webhook(target: str, settings: Settings) -> None:
    """Raises ConfigError for a URL that is not called."""
    if reason := find_target_refusal(target, Guard.from_networks(map(str, settings.allow_nets))):
        raise ConfigError(keyed("target", reason))


def check_service(target: str, settings: Settings) -> None:
    """Raises ConfigError for the URL of a service that the administrator does not allow, or that Apprise does not understand."""
    problem = find_refusal(target, settings.apprise)
    if problem is None and find_spec("apprise") is None:
        problem = Sentence("Apprise is not installed; run {command}", command=install_hint("alerts"))
    if problem is None:
        problem = run_apprise(AppriseMessage(target, settings.apprise, [str(net) for net in settings.allow_nets]))
    if problem is not None:
        raise ConfigError(keyed("target", problem))


def send_message(context: AppContext, channel: Channel, target: str, message: MessageContent, secret: str | None) -> None:
    """Send a message. `secret` signs one to a web hook; without it that is not signed. Raises DeliveryError.

    The target is checked again, because the administrator may have changed what is allowed.
    """
    settings = context.settings
    try:
        if channel is Channel.EMAIL:
            check_recipient(target, settings)
            send_by_mail(target, message, settings)
        elif channel is Channel.WEBHOOK:
            check_webhook(target, settings)
            post_message(target, message.payload, message.id, secret, Guard.from_networks(map(str, settings.allow_nets)), context.now())
        else:
            send_by_apprise(target, message, settings)
    except ConfigError as error:
        raise DeliveryError(str(error)) from None


def send_by_mail(recipient: str, message: MessageContent, settings: Settings) -> None:
    server = mail_server(settings)
    if server is None:
        raise DeliveryError(Sentence("e-mail is not set up"))
    mail = Mail(message.id, message.title, message.text, message.html, message.at)
    send_mail(server, build_mail(mail, server.sender, recipient), recipient)


def send_by_apprise(url: str, message: MessageContent, settings: Settings) -> None:
    nets = [str(net) for net in settings.allow_nets]
    problem = run_apprise(AppriseMessage(url, settings.apprise, nets, message.title, message.text))
    if problem is not None:
        raise DeliveryError(problem if redact(problem) == problem else redact(problem))
