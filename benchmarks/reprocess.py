"""Read every archived page of the store in NEWSMILL_DATA again, and end when all are stored: `python reprocess.py PROCESSES`."""

from __future__ import annotations

import os
import sys
import time

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.supervisor import Supervisor
from newsmill.cli.terminal import now
from newsmill.cli.up import children
from newsmill.model import Outcome

LOOK_EVERY = 0.5  # seconds between two looks at what is left


def main(processes: int) -> None:
    """Open all stored pages again, start workers and the scheduler, wait."""
    settings = configuration.load()
    with context.open_context(settings) as store, context.open_redis(settings):
        opened = store.ledger.retry(now=now(), outcome=Outcome.STORED)
        team = [child for child in children(processes) if child.name != "crawler"]
        with Supervisor(team, environ=os.environ, logs=context.logs_folder(settings), say=print) as supervisor:
            while any(store.ledger.progress().states.get(state, 0) for state in ("fetched", "processing")):
                time.sleep(LOOK_EVERY)
                supervisor.watch()
        print(f"{opened} pages read again")


if __name__ == "__main__":
    main(int(sys.argv[1]))
