"""A damaged distribution is listed as failed, and all others are found."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.host.registry import Plugin, Registry

from ..distributions import Install, effect  # noqa: TID252 - shared between rooms

ENTRY_POINTS, METADATA = "entry_points.txt", "METADATA"
UNREADABLE = "its entry_points.txt cannot be read"
NAMELESS = "its METADATA is missing or damaged; install it again"


def garble(path: Path) -> None:
    path.write_bytes(b"[farm.plugins]\n\xff\xfe = x\n")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no METADATA": (lambda info: (info / METADATA).unlink(), NAMELESS),
    "empty METADATA": (lambda info: (info / METADATA).write_text(""), NAMELESS),
    "binary METADATA": (lambda info: (info / METADATA).write_bytes(b"\xff\xfe\0"), NAMELESS),
    "METADATA is a folder": (
        lambda info: ((info / METADATA).unlink(), (info / METADATA).mkdir()),
        NAMELESS,
    ),
    "a line without =": (
        lambda info: (info / ENTRY_POINTS).write_text("[farm.plugins]\nbroken\n"),
        UNREADABLE,
    ),
    "binary entry points": (lambda info: garble(info / ENTRY_POINTS), UNREADABLE),
    "an impossible module": (
        lambda info: (info / ENTRY_POINTS).write_text("[farm.plugins]\nbroken = 3 !\n"),
        "AttributeError",
    ),
    "a module that is gone": (
        lambda info: (info / ENTRY_POINTS).write_text("[farm.plugins]\nbroken = gone\n"),
        "No module named 'gone'",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_distribution_is_listed_as_failed_and_all_else_works(
    install: Install, tmp_path: Path, damage: str
) -> None:
    install("broken", effect("lost"))
    install("farm-other", effect("other"))
    spoil, reason = DAMAGES[damage]
    spoil(tmp_path / "site" / "broken-1.2.dist-info")
    registry = Registry.load()
    (broken,) = (plugin for plugin in registry.plugins if plugin.name == "broken")
    assert broken.state == "failed"
    assert reason in broken.reason
    assert {"other", "dream"} <= registry.tasks.keys()


def test_damage_to_what_is_no_plugin_is_ignored(install: Install, tmp_path: Path) -> None:
    before = [plugin.name for plugin in Registry.load().plugins]
    install("stranger", "")
    info = tmp_path / "site" / "stranger-1.2.dist-info"
    (info / ENTRY_POINTS).write_text("[console_scripts]\nno equals sign\n")
    (info / METADATA).unlink()
    (tmp_path / "site" / "~alf-removed-2.0.dist-info").mkdir()
    (tmp_path / "site" / "file-1.0.dist-info").write_text("not a folder")
    assert [plugin.name for plugin in Registry.load().plugins] == before


def copy_of(info: Path, folder: Path, version: str) -> None:
    """Copy a distribution's metadata, as another version, into a folder."""
    other = folder / info.name.replace("1.2", version)
    shutil.copytree(info, other)
    text = (info / METADATA).read_text()
    (other / METADATA).write_text(text.replace("1.2", version))


def test_two_versions_in_one_folder_are_one_plugin_and_one_failure(
    install: Install, tmp_path: Path
) -> None:
    install("farm-twice", effect("twice"))
    site = tmp_path / "site"
    copy_of(site / "farm_twice-1.2.dist-info", site, "1.3")
    loaded, failed = (p for p in Registry.load().plugins if p.name == "farm-twice")
    assert loaded == Plugin("farm-twice", "1.2", "farm-twice", ("twice",))
    assert failed.state == "failed"
    assert failed.source == str(site / "farm_twice-1.3.dist-info")
    assert "both provide the plugin 'farm-twice'; remove one" in failed.reason


def test_the_first_version_on_the_path_hides_later_ones_which_are_listed(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("farm-twice", effect("twice"))
    first = tmp_path / "first"
    copy_of(tmp_path / "site" / "farm_twice-1.2.dist-info", first, "0.9")
    monkeypatch.syspath_prepend(str(first))
    found, hidden = (p for p in Registry.load().plugins if p.name == "farm-twice")
    assert (found.version, found.state) == ("0.9", "loaded")
    assert (hidden.version, hidden.state) == ("1.2", "hidden")
    assert hidden.source == str(tmp_path / "site" / "farm_twice-1.2.dist-info")
    assert hidden.reason == (
        f"{first / 'farm_twice-0.9.dist-info'} comes first on sys.path; uninstall one"
    )


def test_one_folder_by_two_names_hides_nothing(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("farm-once", effect("once"))
    (tmp_path / "alias").symlink_to(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "alias"))
    (found,) = (p for p in Registry.load().plugins if p.name == "farm-once")
    assert found.state == "loaded"
