"""Alerts on the saved searches of the user who calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.context import AppContext
from newsmill.notifications.channels.targets import check_target, find_needed_scope
from newsmill.storage.alert_schedule import Frequency, make_schedule
from newsmill.storage.alerts import Alert, Alerts, AlertState, Channel
from newsmill.web.api.searches import Reader, Writer, find_search
from newsmill.web.auth import Caller, require_scope
from newsmill.web.parameters import Context, Id, ItemList, QueryText, complete_list
from newsmill.web.problem_details import error_responses

router = APIRouter(tags=["saved searches"], responses=error_responses(401, 403))


class AlertRequest(BaseModel):
    """An alert on the matches of a saved search from now on."""

    model_config = ConfigDict(extra="forbid")
    channel: Channel
    target: QueryText = Field(description="An e-mail address, the URL of a web hook, or the Apprise URL of a service.")
    schedule: Frequency = Frequency.AT_ONCE
    hour: int = Field(default=8, ge=0, le=23, description="Of daily and weekly digests.")
    weekday: int = Field(default=0, ge=0, le=6, description="Of weekly digests; 0 is Monday.")
    zone: str = Field(default="UTC", max_length=64, description="The time zone of `hour` and `weekday`.", examples=["Europe/Berlin"])
    language: str = Field(default="en", pattern="^(en|de)$", description="Of messages to people.")


class AlertResponse(BaseModel):
    """An alert without its secret."""

    id: str
    search: str
    channel: Channel
    target: str = Field(description="Of a service, only the scheme.")
    schedule: Frequency
    hour: int
    weekday: int
    zone: str
    language: str
    created_at: datetime
    state: AlertState
    pending: int = Field(description="Matches that no message has announced yet.")
    due_at: datetime = Field(description="The earliest time of the next message.")
    attempts: int = Field(description="Failed attempts of the message in progress.")
    next_at: datetime | None = Field(description="The next attempt.")
    failing_since: datetime | None
    detail: str | None = Field(description="Why the last attempt failed.")
    sent_at: datetime | None = Field(description="The last message that arrived.")

    @classmethod
    def of(cls, alert: Alert) -> AlertResponse:
        """The response for an alert."""
        return cls(**alert_fields(alert))


class NewAlertResponse(AlertResponse):
    """A new alert, for a web hook with its secret."""

    secret: str | None = Field(description="Verifies the messages to a web hook; shown once.")


class TestMessageResponse(BaseModel):
    """The result of a test message."""

    problem: str | None = Field(description="Why the message did not arrive; null if it did.")


def alert_fields(alert: Alert) -> dict[str, Any]:
    """The values of an AlertResponse."""
    names = ("id", "channel", "language", "created_at", "state", "due_at", "attempts", "next_at", "failing_since", "detail", "sent_at")
    schedule = alert.schedule
    return {
        "search": alert.search.id,
        "target": alert.shown_target,
        "schedule": schedule.frequency,
        "hour": schedule.hour,
        "weekday": schedule.weekday,
        "zone": schedule.zone,
        "pending": alert.search.matches - alert.notified,
        **{name: getattr(alert, name) for name in names},
    }


@router.get("/alerts")
def list_alerts(context: Context, caller: Reader) -> ItemList[AlertResponse]:
    """List the alerts on the saved searches of the token's owner, oldest first."""
    return complete_list(map(AlertResponse.of, Alerts(context.engine).list_all(user=caller.user)))


@router.post("/searches/{id}/alerts", status_code=201, responses=error_responses(403, 404))
def add_alert(request: Request, context: Context, caller: Writer, id: Id, body: AlertRequest) -> NewAlertResponse:
    """Add an alert. Web hooks, and e-mail where NEWSMILL_MAIL_TO is not set, need the scope admin; the administrator's settings decide
    which other targets are allowed."""
    require_scope(find_needed_scope(body.channel, context.settings))(request)
    search = find_search(context, caller, id)
    target = check_target(body.channel, body.target, context.settings)
    schedule = make_schedule(body.schedule, body.hour, body.weekday, body.zone)
    added = Alerts(context.engine).add(search, body.channel, target, schedule, now=context.now(), language=body.language)
    return NewAlertResponse(**alert_fields(added), secret=added.secret)


@router.get("/alerts/{id}", responses=error_responses(404))
def get_alert(context: Context, caller: Reader, id: Id) -> AlertResponse:
    """Get an alert."""
    return AlertResponse.of(find_alert(context, caller, id))


@router.delete("/alerts/{id}", status_code=204, responses=error_responses(404))
def delete_alert(context: Context, caller: Writer, id: Id) -> None:
    """Delete an alert."""
    Alerts(context.engine).remove(find_alert(context, caller, id).id)


@router.post("/alerts/{id}/pause", responses=error_responses(404))
def pause_alert(context: Context, caller: Writer, id: Id) -> AlertResponse:
    """Pause an alert."""
    Alerts(context.engine).pause(find_alert(context, caller, id).id)
    return get_alert(context, caller, id)


@router.post("/alerts/{id}/resume", responses=error_responses(404))
def resume_alert(context: Context, caller: Writer, id: Id) -> AlertResponse:
    """Resume a paused or dead alert. It continues with the matches of the last 30 days that it has not announced."""
    Alerts(context.engine).resume(find_alert(context, caller, id).id, now=context.now())
    return get_alert(context, caller, id)


@router.post("/alerts/{id}/test", responses=error_responses(404))
def test_alert(request: Request, context: Context, caller: Writer, id: Id) -> TestMessageResponse:
    """Send a test message and wait for the result, at most a minute."""
    return TestMessageResponse(problem=request.app.state.test_sender.send(find_alert(context, caller, id)))


def find_alert(context: AppContext, caller: Caller, alert_id: str) -> Alert:
    """An alert of the caller. Raises HTTPException 404."""
    alert = Alerts(context.engine).get(alert_id, caller.user)
    if alert is None:
        raise HTTPException(404, f"alert {alert_id[:80]!r} does not exist")
    return alert
