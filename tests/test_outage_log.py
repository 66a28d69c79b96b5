"""The log of an outage."""

from __future__ import annotations

import logging

import pytest

from newsmill.health.outage_log import MAX_REASONS, OutageLog


def test_an_outage_is_a_line_for_each_reason_and_one_for_its_end(caplog: pytest.LogCaptureFixture) -> None:
    outage = OutageLog(logging.getLogger("test"), "it answers again")
    for reason in (None, "no answer", "no answer", "full", "no answer", "full", None, None, "no answer", None):
        if reason is None:
            outage.report_success()
        else:
            outage.report_failure(OSError(reason), f"waits {len(caplog.messages)}")
        assert outage.is_open == (reason is not None)
    assert caplog.messages == [
        "no answer; waits 0",
        "full; waits 1",
        "it answers again",
        "no answer; waits 3",
        "it answers again",
    ]


def test_an_outage_whose_reasons_never_repeat_ends_with_a_bounded_log(caplog: pytest.LogCaptureFixture) -> None:
    outage = OutageLog(logging.getLogger("test"), "it answers again")
    for number in range(10 * MAX_REASONS):
        outage.report_failure(OSError(f"process {number} has no answer"))
    outage.report_success()
    assert len(caplog.messages) == MAX_REASONS + 1 and caplog.messages[-1] == "it answers again"
