"""docker-compose.yml as an administrator meets it; tests/compose_smoke.sh runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_a_bounded_log_and_no_root(name: str) -> None:
    service = SERVICES[name]
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    if name != "db":  # whose image gives up root itself, when it is started by its own command
        assert service.get("user", "newsmill" if "build" in service else "root") != "root"


@pytest.mark.parametrize("name", ["db", "crawler", "worker", "scheduler", "web"])
def test_a_container_has_more_than_docker_s_10_seconds_to_stop(name: str) -> None:
    assert SERVICES[name]["stop_grace_period"] in ("60s", "2m")


def test_every_variable_of_the_example_is_used() -> None:
    example = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.M)
    assert len(example) > 8
    assert [name for name in example if f"${{{name}:" not in TEXT] == []


def test_every_setting_of_a_container_can_be_set_in_env() -> None:
    """Except what joins the containers to each other."""
    own = {
        "DATABASE_URL",
        "REDIS_URL",
        "ARCHIVE_URL",
        "XDG_CACHE_HOME",
        "NEWSMILL_WEB",
        "POSTGRES_USER",
        "POSTGRES_DB",
        "POSTGRES_INITDB_ARGS",
    }
    found = {variable: value for service in SERVICES.values() for variable, value in service["environment"].items()}
    assert sorted(variable for variable, value in found.items() if f"${{{variable}:" not in value and variable not in own) == []
