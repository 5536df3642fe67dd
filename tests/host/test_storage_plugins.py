"""A plugin may add a kind of storage, for every process that loads it."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from farm.errors import BadInput
from farm.host.registry import Registry
from farm.storage import input_path, open_whole, schemes

STORAGE = Path(__file__).parents[1] / "fake_storage.py"


@pytest.fixture
def plugins_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugins folder with the storage; no scheme is known beside those that come with the farm."""
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(schemes, "_factories", dict(schemes.BUILT_IN))
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "folders.py").symlink_to(STORAGE)
    return folder


def test_its_urls_are_read_and_written_once_the_plugin_is_loaded(
    plugins_dir: Path, tmp_path: Path
) -> None:
    url = f"folder://{tmp_path}/storage/a.png"
    with pytest.raises(
        BadInput, match=r"folder:// URLs are not supported; give a local path, or a URL with s3://"
    ):
        input_path(url)
    Registry.load(plugins_dir)
    with open_whole(url) as file:
        file.write(b"content")
    assert input_path(url).read_bytes() == b"content"


def test_a_scheme_that_is_taken_is_refused_with_whose_it_is(plugins_dir: Path) -> None:
    (plugins_dir / "own.py").write_text(
        dedent("""
        from farm import hookimpl

        @hookimpl
        def farm_storage():
            return {"s3": object}
        """)
    )
    (plugins_dir / "second.py").symlink_to(STORAGE)
    failed = {p.name: p.reason for p in Registry.load(plugins_dir).plugins if p.state == "failed"}
    assert failed.keys() == {"own", "second"}
    assert failed["own"].startswith("the farm and ")
    assert failed["own"].endswith("both provide the storage 's3'; remove one")
    assert "folders.py and " in failed["second"]


READER = """
import sys
from pathlib import Path
from farm.host.registry import Registry
from farm.storage import input_path
Registry.load(Path(sys.argv[1]))
print(input_path(sys.argv[2]).read_text())
"""


@pytest.mark.slow
def test_another_process_knows_it_too(plugins_dir: Path, tmp_path: Path) -> None:
    Registry.load(plugins_dir)
    url = f"folder://{tmp_path}/storage/a.txt"
    with open_whole(url) as file:
        file.write(b"content")
    command = [sys.executable, "-c", READER, str(plugins_dir), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "content\n"
