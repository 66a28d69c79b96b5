"""Extract every archived page of the store in NEWSMILL_DATA again: `python reprocess.py PROCESSES`."""

from __future__ import annotations

import os
import sys
import time

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.processes import make_children
from newsmill.cli.supervisor import Supervisor
from newsmill.cli.terminal import now
from newsmill.model import Outcome

SECONDS_PER_CHECK = 0.5  # between two checks of the ledger


def main(processes: int) -> None:
    """Requeue all stored pages, start workers and the scheduler, and wait until all are stored."""
    settings = configuration.load()
    with context.open_context(settings) as store, context.open_redis(settings):
        requeued = store.ledger.retry(now=now(), outcome=Outcome.STORED)
        children = [child for child in make_children(processes) if child.name != "crawler"]
        with Supervisor(children, environ=os.environ, logs=context.logs_folder(settings), report=print) as supervisor:
            while any(store.ledger.progress().states.get(state, 0) for state in ("fetched", "processing")):
                time.sleep(SECONDS_PER_CHECK)
                supervisor.watch()
        print(f"{requeued} pages extracted again")


if __name__ == "__main__":
    main(int(sys.argv[1]))
