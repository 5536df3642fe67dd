"""Every threat in docs/security.md has a guard that exists, and a test that fails without it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from .mutations import ROOT, read_table

PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| threat", "| ---"))
]
MUTATED = {test for mutation in read_table() for test in mutation.tests}


@cache
def defined(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_threat_has_a_guard_and_a_test_that_fails_without_it(row: tuple[str, ...]) -> None:
    _, guard, cited = row
    modules = re.findall(r"`((?:farm|cluster)/[^`]+\.py)`", guard)
    tests = [f"tests/{test}" for test in re.findall(r"`([^`]+)`", cited)]
    assert modules
    assert [module for module in modules if not (ROOT / module).is_file()] == []
    places = [test.partition("::") for test in tests]
    assert [name for path, _, name in places if name not in defined(ROOT / path)] == []
    assert MUTATED & set(tests), "no row of mutations.toml takes this guard out"


def test_the_page_lists_threats() -> None:
    assert len(ROWS) > 20
