"""The checkout, the packages, the entry points and the wheel agree, and modules keep to their rules."""

import ast
import configparser
import hashlib
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [
    Path(folder) for folder in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
]
POINTS: dict[str, str] = PROJECT["project"]["entry-points"]["farm.plugins"]
TOP = {
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "cluster",
    "deploy",
    "docs",
    "farm",
    "plugins",
    "pyproject.toml",
    "tests",
}
LARGEST_BYTES = 5 * 2**20
IMPURE = {"datetime", "os", "pathlib", "random", "sqlalchemy", "time"}
SHARED_NAMES = {
    "__init__.py": "packages",
    "__main__.py": "packages that can be run",
    "context.py": "a task's context: the protocol, its implementation in the engine, one for tests",
    "flicker.py": "the measure of flicker, and the command that prints it",
    "ledger.py": "the record of jobs, and the command that shows it",
    "params.py": "a plugin's parameters",
    "presets.py": "a plugin's named sets of parameters",
    "task.py": "task classes: the base classes in the host, and those of each plugin",
    "train.py": "a plugin's training",
    "weights.py": "weights files of networks",
}
"""Names that several modules may have, and the one thing that each means."""


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file under version control that exists."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = (ROOT / name for name in listing.stdout.decode().rstrip("\0").split("\0"))
    return [path for path in paths if path.is_file()]


def test_folders_packages_and_entry_points_agree() -> None:
    folders = {
        init.parent.relative_to(ROOT)
        for place in ("plugins", "cluster")
        for init in (ROOT / place).glob("*/__init__.py")
    }
    assert set(PACKAGES) == {Path("farm"), *folders}
    modules = {module.partition(".")[0] for module in POINTS.values()}
    assert modules - {"farm"} == {folder.name for folder in folders}


def test_every_package_is_typed_and_covered_by_mypy_and_import_linter() -> None:
    names = {package.name for package in PACKAGES}
    assert set(PROJECT["tool"]["mypy"]["packages"]) == names
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == names
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)


def test_the_top_folder_contains_nothing_else(tracked: list[Path]) -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked} - TOP == set()


def test_no_file_is_large(tracked: list[Path]) -> None:
    large = {path.name: path.stat().st_size for path in tracked}
    assert {name: size for name, size in large.items() if size > LARGEST_BYTES} == {}


def test_the_checkout_contains_no_test_data(tracked: list[Path], shared_data: Path) -> None:
    sizes = {path.stat().st_size for path in tracked} - {0}
    data = {sha256(path) for path in files(shared_data) if path.stat().st_size in sizes}
    assert [path.name for path in tracked if sha256(path) in data] == []


def test_pure_modules_import_no_clock_chance_or_files() -> None:
    pure = [*modules("farm/scheduling"), *modules("farm/model"), ROOT / "farm/planning/plan.py"]
    assert len(pure) > 10
    impure = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in pure
        for name in imports(ast.parse(path.read_text()))
        if name.partition(".")[0] in IMPURE
    }
    assert impure == set()


def test_modules_that_share_a_name_mean_the_same_thing() -> None:
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for top in ("farm", "plugins", "cluster"):
        for path in modules(top):
            paths[path.name].append(str(path.relative_to(ROOT)))
    shared = {name: same for name, same in paths.items() if len(same) > 1}
    assert {name: same for name, same in shared.items() if name not in SHARED_NAMES} == {}


@pytest.mark.slow
def test_imports_point_one_way() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_wheel_contains_every_source_file(tmp_path: Path) -> None:
    build = ["pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", *build, "--wheel-dir", tmp_path, ROOT]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        points = configparser.ConfigParser()
        (file,) = (name for name in names if name.endswith("dist-info/entry_points.txt"))
        points.read_string(archive.read(file).decode())
    sources = {
        path.relative_to(ROOT / package.parent).as_posix()
        for package in PACKAGES
        for path in files(ROOT / package)
        if "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert {
        "farm_networks/starter/starter.safetensors",
        "farm_networks/starter/CARD.md",
        "farm_dream/py.typed",
        "farm_cluster/py.typed",
    } <= sources
    assert dict(points["farm.plugins"]) == POINTS
    assert dict(points["console_scripts"]) == PROJECT["project"]["scripts"]


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(node: ast.AST) -> Iterator[str]:
    """Yield the names of imported modules, except those that only type checkers import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""
    elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
        for child in ast.iter_child_nodes(node):
            yield from imports(child)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
