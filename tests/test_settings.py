"""Settings come from the environment, under names in capitals."""

from pathlib import Path

import pytest

from farm.settings import Settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FARM_{name.upper()}", raising=False)


def test_names_of_blocked_plugins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().block_plugins == frozenset()
    monkeypatch.setenv("FARM_BLOCK_PLUGINS", " dream, ,style ")
    assert Settings().block_plugins == {"dream", "style"}


def test_only_names_in_capitals_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("farm_block_plugins", "dream")
    assert Settings().block_plugins == frozenset()


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FARM_PLUGINS_DIR", "FARM_LEDGER", "FARM_BLOCK_PLUGINS"):
        monkeypatch.setenv(name, "")
    assert Settings().plugins_dir is None
    assert Settings().ledger_url.endswith("/ledger.db")


@pytest.mark.parametrize(
    ("ledger", "path", "url"),
    [
        ("/tmp/a.db", Path("/tmp/a.db"), "sqlite:////tmp/a.db"),  # noqa: S108 - never opened
        ("postgresql://host/farm", None, "postgresql://host/farm"),
        ("postgres:/host/farm", None, "postgres:/host/farm"),
        ("/a:/b", Path("/a:/b"), "sqlite:////a:/b"),
    ],
)
def test_a_ledger_is_a_file_or_a_database_url(
    monkeypatch: pytest.MonkeyPatch, ledger: str, path: Path | None, url: str
) -> None:
    monkeypatch.setenv("FARM_LEDGER", ledger)
    assert (Settings().ledger_path, Settings().ledger_url) == (path, url)


def test_copies_are_kept_in_a_folder_of_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().cache_folder.parts[-2:] == ("farm", "copies")
    monkeypatch.setenv("FARM_CACHE", "~/copies")
    assert Settings().cache_folder == Path.home() / "copies"
