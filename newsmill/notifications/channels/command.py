"""The administrator's program, which gets a message on its standard input."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence

from newsmill.notifications.channels.http_post import DeliveryError
from newsmill.text.sentences import Sentence

MAX_COMMAND_SECONDS = 30.0


def run_command(arguments: Sequence[str], message: bytes, seconds: float = MAX_COMMAND_SECONDS) -> None:
    """Run the administrator's program with the message on its standard input. Raises DeliveryError if it fails or exceeds the time limit.

    It runs without a shell and with no environment but PATH, because ours holds passwords. After the limit, it is killed with its children.
    """
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath},
            start_new_session=True,
        )
    except OSError as error:
        raise DeliveryError(Sentence("the command cannot be started ({reason})", reason=error.strerror)) from None
    try:
        process.communicate(message, timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise DeliveryError(Sentence("the command took longer than {n:.0f} s", n=seconds)) from None
    if process.returncode:
        raise DeliveryError(Sentence("the command ended with exit code {code}", code=process.returncode))
