"""The checkout, the package list, the entry points and the wheel say the same."""

import configparser
import hashlib
import subprocess
import sys
import tomllib
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
    "farm",
    "plugins",
    "pyproject.toml",
    "tests",
}
LARGEST_BYTES = 5 * 2**20


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file under version control that is there."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = (ROOT / name for name in done.stdout.decode().rstrip("\0").split("\0"))
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


def test_every_package_is_checked_typed_and_bound_by_the_import_rules() -> None:
    names = {package.name for package in PACKAGES}
    assert set(PROJECT["tool"]["mypy"]["packages"]) == names
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == names
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)


def test_nothing_else_lies_at_the_top(tracked: list[Path]) -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked} - TOP == set()


def test_no_file_is_large(tracked: list[Path]) -> None:
    large = {path.name: path.stat().st_size for path in tracked}
    assert {name: size for name, size in large.items() if size > LARGEST_BYTES} == {}


def test_no_test_data_is_in_the_checkout(tracked: list[Path], shared_data: Path) -> None:
    sizes = {path.stat().st_size for path in tracked} - {0}
    data = {sha256(path) for path in files(shared_data) if path.stat().st_size in sizes}
    assert [path.name for path in tracked if sha256(path) in data] == []


@pytest.mark.slow
def test_imports_point_one_way() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_wheel_is_whole(tmp_path: Path) -> None:
    build = ["pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", *build, "--wheel-dir", tmp_path, ROOT]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        held = set(archive.namelist())
        points = configparser.ConfigParser()
        (place,) = (name for name in held if name.endswith("dist-info/entry_points.txt"))
        points.read_string(archive.read(place).decode())
    sources = {
        path.relative_to(ROOT / package.parent).as_posix()
        for package in PACKAGES
        for path in files(ROOT / package)
        if "__pycache__" not in path.parts
    }
    assert {name for name in held if ".dist-info/" not in name} == sources
    assert {
        "farm_networks/starter/starter.safetensors",
        "farm_networks/starter/CARD.md",
        "farm_dream/py.typed",
        "farm_cluster/py.typed",
    } <= sources
    assert dict(points["farm.plugins"]) == POINTS
    assert dict(points["console_scripts"]) == PROJECT["project"]["scripts"]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
