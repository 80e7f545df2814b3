"""What goes into the image."""

import json
from pathlib import Path

from conftest import HERE

import orfeas

BACKEND = HERE.parent


def test_every_module_gets_into_the_image() -> None:
    patterns = [line[1:] for line in (BACKEND / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    modules = [path.relative_to(BACKEND) for path in (BACKEND / "orfeas").rglob("*.py")]
    assert modules
    assert [module for module in modules if not any(module.match(pattern) for pattern in patterns)] == []


def test_the_exact_versions_are_those_of_the_tests() -> None:
    def pins(path: Path) -> set[str]:
        return {line for line in path.read_text().splitlines() if "==" in line}

    assert pins(BACKEND / "requirements/cpu.txt") <= pins(BACKEND / "tests/requirements.txt")


def test_the_version_is_the_projects() -> None:
    assert orfeas.__version__ == json.loads((BACKEND.parents[1] / "package.json").read_text())["version"]
