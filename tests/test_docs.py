"""README, ARCHITECTURE and CHANGELOG agree with the code."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from farm.cli import COMMANDS, group
from farm.host import hookspecs
from farm.host.registry import HOOKS
from farm.settings import Settings
from farm_dream.looks import DREAMS

ENVIRONMENT = [f"FARM_{name.upper()}" for name in Settings.model_fields]
ROOT = Path(__file__).parents[1]
README, ARCHITECTURE, CHANGELOG = (
    (ROOT / name).read_text() for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")
)
COMMAND_LINES = re.findall(r"^ {4}(?:\.venv/bin/)?farm (.+?)(?: +#.*)?$", README, re.MULTILINE)
"""Every command line in the README, without "farm" and the comment."""


def signatures() -> dict[str, str]:
    """Return the declaration of every hook: ``name(argument: type) -> type``."""
    tree = ast.parse(Path(hookspecs.__file__).read_text())
    return {
        node.name: f"{node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}".replace(
            "'", ""
        )
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.returns
    }


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_signature(hook: str) -> None:
    assert signatures()[hook] in " ".join((README + ARCHITECTURE).split())


@pytest.mark.parametrize("variable", ENVIRONMENT)
def test_the_readme_documents_every_variable(variable: str) -> None:
    assert f"`{variable}`" in README


def test_the_readme_names_no_other_variables() -> None:
    assert set(re.findall(r"\bFARM_[A-Z0-9_]+", README)) <= set(ENVIRONMENT)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_shows_every_command(command: str) -> None:
    assert re.search(rf"\bfarm {command}\b", README)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_line_in_the_readme_parses(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "plugins").symlink_to(ROOT / "plugins" / "examples")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)
    with group.make_context("farm", list(words)) as context:
        name, *rest = words[2:] if words[0] == "--plugins-dir" else words
        command = group.get_command(context, name)
        assert command
        command.make_context(name, rest, parent=context)


def test_the_sheet_of_presets_shows_them_all() -> None:
    (line,) = (line for line in COMMAND_LINES if "presets.webp" in line)
    words = shlex.split(line)
    assert words[words.index("--preset") + 1].split(",") == list(DREAMS)


def test_the_readme_has_command_lines() -> None:
    assert len(COMMAND_LINES) > 10


@pytest.mark.parametrize("text", [README, ARCHITECTURE], ids=["README", "ARCHITECTURE"])
def test_every_link_points_to_a_file(text: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_changelog_has_a_version_heading() -> None:
    assert re.search(r"^## (Unreleased|\d+\.\d+\.\d+)", CHANGELOG, re.MULTILINE)


def test_every_module_and_folder_that_architecture_names_exists() -> None:
    names = set(
        re.findall(r"\b(?:farm|plugins|cluster|deploy|tests)/[\w./]+\w(?![\w*])", ARCHITECTURE)
    )
    there = {name for name in names if (ROOT / name).exists() or (ROOT / f"{name}.py").exists()}
    assert len(names) > 20
    assert names - there == set()
