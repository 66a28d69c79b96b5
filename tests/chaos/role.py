"""A crawler, worker or scheduler as `newsmill` starts it, with shorter leases or another reader than its settings offer.

python -m chaos.role ROLE JSON: the JSON object holds keyword arguments of the role's `run`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from newsmill.cli.processes.process_start import prepare
from newsmill.context import open_context


def run(role: str, options: dict[str, Any]) -> int:
    settings = prepare(supervised=True)
    with open_context(settings, upgrade=False) as context:
        if role == "crawler":
            from crawler.process import run as crawl

            return crawl(context, **options)
        if role == "worker":
            from newsmill.sandbox.child import Limits
            from workers.worker import run as work

            return work(context, **options | {"limits": Limits(**options.get("limits", {}))})
        from workers.scheduler import run as schedule

        return schedule(context, **options)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], json.loads(sys.argv[2])))
