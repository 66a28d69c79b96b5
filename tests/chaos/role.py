"""A crawler, worker or scheduler as `newsmill` starts it, with shorter leases or another reader than its settings offer.

python -m chaos.role ROLE JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from newsmill.cli import processes
from newsmill.cli.supervisor import stop_with_parent


def run(role: str, values: dict[str, Any]) -> int:
    processes.configure("INFO")
    stop_with_parent()
    if role == "crawler":
        from crawler.process import CrawlerConfig
        from crawler.process import run as crawl

        return crawl(CrawlerConfig(**values | {"allow_nets": tuple(values["allow_nets"]), "spool": Path(values["spool"])}))
    if role == "worker":
        from newsmill.sandbox.parent import Limits
        from workers.worker import WorkerConfig
        from workers.worker import run as work

        return work(WorkerConfig(**values | {"limits": Limits(**values.get("limits", {})), "data": Path(values["data"])}))
    from workers.scheduler import SchedulerConfig
    from workers.scheduler import run as schedule

    return schedule(SchedulerConfig(**values | {"data": Path(values["data"])}))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], json.loads(sys.argv[2])))
