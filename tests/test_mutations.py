"""The table of mutations matches the code and the tests; mutations.py tries them out."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TABLE: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("mutations.toml").read_text()
)


@pytest.mark.parametrize("name", TABLE)
def test_a_mutation_breaks_one_guard_and_names_tests_that_exist(name: str) -> None:
    row = TABLE[name]
    code = (ROOT / row["file"]).read_text()
    assert code.count(row["guard"]) == 1
    assert row["broken"] != row["guard"]
    if row["file"].endswith(".py"):  # a file that cannot be read would fail any test
        compile(code.replace(row["guard"], row["broken"]), row["file"], "exec")
    for test in row["tests"]:
        file, _, case = test.partition("::")
        assert f"def {case.partition('[')[0]}(" in (ROOT / file).read_text()
