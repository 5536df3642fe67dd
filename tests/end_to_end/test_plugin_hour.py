"""A plugin author's first hour: one file in a folder gets every feature of the farm."""

import json
import re
import shutil
from pathlib import Path

import pytest

from .conftest import Command, bytes_of

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "plugins" / "examples" / "invert.py"


@pytest.fixture
def author(command: Command) -> Command:
    """A folder, own, with the plugin and another one that does not parse."""
    own = command.folder / "own"
    own.mkdir()
    shutil.copy(EXAMPLE, own)
    (own / "unfinished.py").write_text("from farm import Effect\n\nclass Half(Effect:\n")
    command.environment["FARM_PLUGINS_DIR"] = ""
    return command


def test_help_shows_the_parameter_with_its_range(author: Command) -> None:
    done = author.run("--plugins-dir", "own", "invert", "--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "Photographic negative." in text
    assert "--amount NUMBER 0 keeps the picture, 1 inverts it. [0 <= x <= 1; default: 1.0]" in text


def test_a_value_out_of_range_is_refused_in_one_line(author: Command, pictures: Path) -> None:
    words = ("invert", pictures, "-o", "out/", "--amount", 2)
    done = author.run("--plugins-dir", "own", *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "farm: --amount: should be less than or equal to 1, not '2'; see `farm invert --help`"
    )
    assert not (author.folder / "out").exists()


def test_the_listing_says_what_is_wrong_with_the_other_plugin(author: Command) -> None:
    done = author.run("--plugins-dir", "own", "plugins", "--json")
    assert done.returncode == 0
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (rows["invert"]["state"], rows["invert"]["tasks"]) == ("loaded", ["invert"])
    assert rows["unfinished"]["state"] == "failed"
    assert re.search(r"SyntaxError: .*unfinished\.py, line 3", rows["unfinished"]["reason"])
    assert rows["dream"]["state"] == "loaded"


@pytest.mark.ray
def test_a_folder_gives_the_same_bytes_here_and_on_a_cluster(
    author: Command, pictures: Path, cluster: tuple[str, str]
) -> None:
    words = ("--plugins-dir", "own", "invert", pictures, "--amount", "0.8", "--threads", "1")
    here = author.run(*words, "-o", "here/")
    assert (here.returncode, here.stdout.split("; ")[0]) == (0, "rendered 6"), here.stderr
    there = author.run(*words, "-o", "there/", *cluster)
    assert (there.returncode, there.stdout.split("; ")[0]) == (0, "rendered 6"), there.stderr
    assert bytes_of(author.folder / "here") == bytes_of(author.folder / "there")
