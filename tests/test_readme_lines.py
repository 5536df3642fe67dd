"""Every line of the README that renders or trains does so, in its order, at a small size."""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from .readme import command_of, farm, fill, forget_output, lines_that_need, quick_words

pytestmark = [pytest.mark.slow, pytest.mark.proof, pytest.mark.xdist_group("readme")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the lines name as an input."""
    folder = tmp_path_factory.mktemp("readme")
    fill(folder)
    return folder


@pytest.mark.parametrize("line", lines_that_need("rendering"))
def test_a_line_of_the_readme_renders(line: str, folder: Path) -> None:
    words = quick_words(line)
    if "--live" in words:
        words[words.index("--live") + 1] = "0"
    done = farm(folder, *words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", lines_that_need("training"))
def test_a_line_of_the_readme_trains_or_uses_what_was_trained(line: str, folder: Path) -> None:
    words = [word.replace("run/@5000", "run/@2") for word in quick_words(line)]
    if command_of(words) in {"sample", "evaluate"}:  # of the run that draws
        shutil.rmtree(folder / "run")
        shutil.copytree(folder / "drawing", folder / "run")
    forget_output(folder, words)
    done = farm(folder, *words)
    assert done.returncode == 0, done.stderr
    if command_of(words) == "dcgan":
        shutil.copytree(folder / "run", folder / "drawing", dirs_exist_ok=True)


@pytest.mark.ray
@pytest.mark.parametrize("line", lines_that_need("pool"))
def test_a_line_of_the_readme_uses_several_workers(
    line: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    words = quick_words(line)
    if "--address" in words:
        cluster: Any = request.getfixturevalue("ray_cluster")
        words[words.index("--address") + 1] = cluster.address
    if "--workers" in words:
        words[words.index("--workers") + 1] = "2"
    if "--metrics-port" in words:
        words[words.index("--metrics-port") + 1] = str(_free_port())
    if "--resume" in words:
        begun = quick_words(line.partition(" --resume")[0])
        forget_output(folder, begun)
        assert farm(folder, *begun).returncode == 0
    forget_output(folder, words)
    done = farm(folder, *words)
    assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
