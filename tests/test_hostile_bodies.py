"""Each body of `chaos.bodies` goes through one worker's sandbox, and none crashes it.

Each ends with a document or a named outcome with a detail, and the child's memory stays bounded.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from chaos.bodies import bodies

from newsmill.model import ExtractionResult, Outcome, Page
from newsmill.sandbox.child import Limits
from newsmill.sandbox.pages import Sandbox

REFUSED = {Outcome.TOO_LARGE, Outcome.TOO_DEEP, Outcome.BAD_ENCODING, Outcome.DATA_LOSS, Outcome.NOT_HTML}
MEGABYTES = 512


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_every_hostile_body_ends_with_a_name() -> None:
    url = "https://hostile.example/2026/11/25/a-headline-of-some-length-12345"
    with Sandbox(Limits(wall=300.0)) as box:  # CPU time is limited: on a busy machine 30 s of wall time say nothing
        for name, headers, body in bodies():
            box.start()
            pid = box.child.pid
            answer = box.read(Page(url, url, datetime(2026, 11, 25, tzinfo=UTC), 200, headers, body))
            assert isinstance(answer, ExtractionResult), (name, answer)
            if answer.document is None:
                assert answer.ending.outcome in REFUSED, (name, answer.ending)
                assert answer.ending.detail, name
            else:
                assert answer.document.text and len(answer.document.authors) <= 100, name
            if box.child.pid is not None:  # otherwise it exited, because it had grown too large
                peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
                assert int(peak.split()[1]) / 1024 <= MEGABYTES, (name, peak)
