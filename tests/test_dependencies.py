"""What the code imports is declared in pyproject.toml, what is declared is imported, and the image's lock file holds all of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import newsmill

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
IMAGE_EXTRAS = ("s3", "parquet")  # of the image, as in the command that makes requirements.lock


def names(requirements: list[str]) -> set[str]:
    """The normalised names of requirements (PEP 503)."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower() for requirement in requirements}


def deptry(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "deptry", ".", "--no-ansi"], cwd=folder, capture_output=True, text=True, timeout=120)


def test_every_import_is_declared_and_every_dependency_is_imported() -> None:
    done = deptry(ROOT)
    assert done.returncode == 0, done.stderr


def test_the_check_sees_an_import_that_is_not_declared_and_a_dependency_that_is_not_imported(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(text.replace("dependencies = [", 'dependencies = [\n    "courlan>=1.4",', 1), encoding="utf-8")
    (tmp_path / "newsmill").mkdir()
    (tmp_path / "newsmill" / "new.py").write_text("import warcio\n")
    found = deptry(tmp_path)
    assert found.returncode == 1
    assert "'courlan' defined as a dependency but not used" in found.stderr
    assert "'warcio' imported but" in found.stderr


def test_the_lock_file_holds_every_dependency_of_the_image_with_hashes() -> None:
    blocks = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", (ROOT / "requirements.lock").read_text(encoding="utf-8"), flags=re.M))
    locked = {block for block in blocks if block.strip()}
    assert all(re.match(r"[\w.-]+==\S+", block) and "--hash=sha256:" in block for block in locked)
    wanted = (
        names(PROJECT["dependencies"])
        | {name for extra in IMAGE_EXTRAS for name in names(PROJECT["optional-dependencies"][extra])}
        | {"hatchling"}
    )
    missing = wanted - names(list(locked))
    assert not missing, f"requirements.lock lacks {sorted(missing)}; its first lines say how to renew it"


def test_the_lock_file_of_the_image_with_a_browser_holds_what_the_other_lacks() -> None:
    blocks = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", (ROOT / "requirements-render.lock").read_text(encoding="utf-8"), flags=re.M))
    locked = [block for block in blocks if block.strip()]
    assert all("--hash=sha256:" in block for block in locked)
    assert names(PROJECT["optional-dependencies"]["render"]) <= names(locked)


@pytest.mark.parametrize("lock_file", ["requirements.lock", "requirements-render.lock"])
def test_the_tests_and_the_image_use_the_same_versions(lock_file: str) -> None:
    pins = {}
    for file in ("tests/constraints.txt", lock_file):
        lines = re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / file).read_text(encoding="utf-8"), re.M)
        pins[file] = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in lines}
    tests, image = pins.values()
    assert {name: version for name, version in image.items() if tests.get(name, version) != version} == {}


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PROJECT and PROJECT["dynamic"] == ["version"]
    version_file = PYPROJECT["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{newsmill.__version__}"' in (ROOT / version_file).read_text(encoding="utf-8")
    assert re.fullmatch(r"\d+\.\d+\.\d+", newsmill.__version__)


def test_the_commands_of_the_contributing_guide_exist() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:\./)?((?:tests/|newsmill/|docs/|\.ci/)[\w./-]+)", guide)
    assert {"tests/fast", "tests/run", ".ci/run"} <= set(named)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_hosted_workflow_runs_what_everybody_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands == [".ci/run", "tests/compose_smoke.sh"]
    supported = [name.removeprefix("Programming Language :: Python :: 3.") for name in PROJECT["classifiers"] if ":: 3." in name]
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in supported]
