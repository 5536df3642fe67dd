"""Every line of the README that runs or asks a service does so, in its order, at a small size."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from .readme import README, command_of, farm, fill, forget_output, lines_that_need, quick_words

pytestmark = [pytest.mark.slow, pytest.mark.proof, pytest.mark.xdist_group("readme service")]

LINES = lines_that_need("service")
SERVING = [line for line in LINES if line.startswith("serve")]
TOKENS = [line for line in LINES if line.startswith("token")]
ASKING = [line for line in LINES if line not in (*SERVING, *TOKENS)]
(CURL,) = re.findall(r"^ {4}(curl -X POST (?:.+\\\n)*.+)", README, re.MULTILINE)
(CLIENT,) = re.findall(r"^( {4}from farm import Client\n(?:(?: {4}.*)?\n)+)", README, re.MULTILINE)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a farm that gives out tokens."""
    folder = tmp_path_factory.mktemp("host")
    for name in ("Pictures", "photos"):
        (folder / name).mkdir()
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the lines name as an input, and a farm without tokens."""
    folder = tmp_path_factory.mktemp("service")
    fill(folder)
    return folder


@contextmanager
def served(folder: Path, line: str) -> Iterator[str]:
    """Start the service of a line on a free port; yield its address; stop it and expect success."""
    words = line.replace("/data/photos", str(folder / "photos")).split()
    process = subprocess.Popen(
        [sys.executable, "-m", "farm", *words, "--port", "0"],
        cwd=folder,
        env=os.environ | {"FARM_LEDGER": str(folder / "ledger.db"), "HOME": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        said = process.stderr.readline()
        found = re.fullmatch(r"serving on http://.+:(\d+)/\n", said)
        assert found, said
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """The address of the farm that clients of the README ask."""
    with served(folder, SERVING[-1]) as url:
        yield url


@pytest.mark.parametrize("line", TOKENS)
def test_a_line_of_the_readme_gives_out_tokens(line: str, host: Path) -> None:
    if "3f1c09aa" in line:
        assert farm(host, "token", "new", "bob").returncode == 0
        listed = json.loads(farm(host, "token", "list", "--json").stdout)
        line = line.replace("3f1c09aa", next(row["id"] for row in listed if row["name"] == "bob"))
    done = farm(host, *line.split())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", SERVING)
def test_a_line_of_the_readme_serves(line: str, host: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(served(host, line))
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200


@pytest.mark.parametrize("line", ASKING)
def test_a_line_of_the_readme_asks_the_service(line: str, folder: Path, server: str) -> None:
    if command_of(line.split()) == "job":
        jobs = farm(folder, "jobs", "--json", environment={"FARM_SERVER": server})
        line = line.replace("dream-1f2e3d4c5b6a7980", json.loads(jobs.stdout)[0]["id"])
    words = quick_words(line.replace("http://render:8420", server))
    forget_output(folder, words)
    done = farm(folder, *words, environment={"FARM_SERVER": server})
    assert done.returncode == 0, done.stderr


def test_the_client_of_the_readme_renders(folder: Path, server: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", dedent(CLIENT).replace("http://127.0.0.1:8420", server)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "holiday succeeded"
    assert (folder / "results" / "holiday-dream.png").is_file()


def test_the_request_of_the_readme_is_taken(folder: Path, server: str) -> None:
    command = CURL.replace("http://127.0.0.1:8420", server)
    done = subprocess.run(
        ["sh", "-c", f"{command} --silent --fail-with-body"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    job = json.loads(done.stdout)["id"]
    watched = farm(folder, "job", job, "watch", environment={"FARM_SERVER": server})
    assert watched.returncode == 0, watched.stderr
    assert (folder / "photos" / "clouds-dream.png").is_file()
