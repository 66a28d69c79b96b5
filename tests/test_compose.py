"""docker-compose.yml as an administrator meets it; tests/compose_smoke.sh runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from newsmill.settings import Settings

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


# Settings that compose decides: what joins the containers to each other, and one process per container.
FIXED = {"REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_DATA", "NEWSMILL_CONFIG", "NEWSMILL_WEB"}
FIXED |= {"NEWSMILL_ALLOW_OPEN_REDIS", "NEWSMILL_PROCESSES"}
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "NEWSMILL_IMAGE", "NEWSMILL_WEB_PUBLISH"}


def test_compose_its_example_and_the_settings_have_the_same_variables() -> None:
    example = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.M)
    settings = {str(field.alias) for field in Settings.model_fields.values()} - FIXED
    assert sorted(example) == sorted(settings | COMPOSE_ONLY)
    assert set(re.findall(r"\$\{([A-Z_]+):", TEXT)) == set(example)


def test_compose_asks_for_the_contact_once() -> None:
    assert "${NEWSMILL_CONTACT:?" in TEXT and "${NEWSMILL_USER_AGENT:-}" in TEXT
