"""Break each guard listed in mutations.toml, and see a test fail: python tests/mutations.py [NAME...].

A mutation replaces the text of one guard in a copy of the tree, and only the tests named beside it
run there, without real test data. It is killed if they fail. A mutation that survives means that
nobody would notice if the guard were lost. NAME: a mutation's name, or a part of it.

Each runs in a process of its own, forked from one that has loaded the libraries and no module of the
farm: to load torch and pytest's plugins takes longer than most of the tests.
"""

import gc
import os
import sys
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from shutil import copy, copytree, ignore_patterns
from tempfile import TemporaryDirectory
from time import monotonic

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".toml")
COPIED = ("farm", "plugins", "cluster", "deploy", "docs", "tests")
LANES = 3
"""Mutations tried at the same time, each in a copy of its own: some broken guards let a test wait."""

PRELOADED = (
    *("pytest", "_pytest.threadexception", "_pytest.unittest", "_pytest.unraisableexception"),
    *("anyio.pytest_plugin", "hypothesis", "_hypothesis_pytestplugin", "jaxtyping._pytest_plugin"),
    *("platformdirs.pytest_plugin", "pytest_timeout", "schemathesis.pytest.plugin", "xdist.plugin"),
    *("beartype", "torch", "torch.fx.experimental.optimization", "torchvision"),
    *("safetensors.torch", "PIL.ImageCms", "PIL.JpegImagePlugin", "PIL.PngImagePlugin"),
    *("PIL.TiffImagePlugin", "PIL.WebPImagePlugin", "av", "cv2"),
    *("boto3", "fastapi", "httpx", "httpcore", "natsort", "prometheus_client.core", "psutil"),
    *("pydantic.v1", "pydantic_settings", "rich"),
    *("sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite", "sqlite3"),
    *("starlette.middleware.gzip", "uvicorn.lifespan.off", "uvicorn.protocols.http.auto"),
)
"""Libraries that start no thread when they are loaded. Not Ray: it reads its token then."""

PYTEST = ("-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist")
LOADED_BEFORE = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""Let pytest's plugins be loaded before pytest looks for them."""
TEST_SECONDS = 60
PROCESSES = get_context("forkserver")

PASSED, FAILED, DIED = 0, 1, -1
"""Exit codes of pytest, and what stands for that of a process that ended without one."""


@dataclass(frozen=True)
class Mutation:
    """A guard and how to break it.

    file: from the root. guard: text that occurs in it once. broken: what replaces it. tests: files
    or tests of which one must fail.
    """

    name: str
    file: str
    guard: str
    broken: str
    tests: tuple[str, ...]


def read_table() -> list[Mutation]:
    rows = tomllib.loads(TABLE.read_text())
    return [
        Mutation(name, row["file"], row["guard"], row["broken"], tuple(row["tests"]))
        for name, row in rows.items()
    ]


class Tree:
    """A copy of the tree in which tests run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "farm"
        for name in COPIED:
            copytree(ROOT / name, self.folder / name, ignore=ignore_patterns("__pycache__"))
        for path in ROOT.iterdir():
            if path.is_file() and path.name != ".git":
                copy(path, self.folder)

    @contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        """Break the guard within the block."""
        path = self.folder / mutation.file
        before = path.read_text()
        _write(path, before.replace(mutation.guard, mutation.broken))
        try:
            yield
        finally:
            _write(path, before)

    def test(self, *tests: str) -> "Outcome":
        """Run tests in a new process."""
        output = self.folder.with_name("output.txt")
        output.write_bytes(b"")
        try:
            with ProcessPoolExecutor(1, PROCESSES) as process:
                code = process.submit(run_tests, self.folder, output, tests).result()
        except BrokenProcessPool:
            code = DIED
        return Outcome(code, output.read_text(errors="backslashreplace"))


@dataclass(frozen=True)
class Outcome:
    """How tests ended. code: pytest's exit code, or DIED. output: what was printed."""

    code: int
    output: str


def run_tests(folder: Path, output: Path, tests: tuple[str, ...]) -> int:
    """Run tests of a tree in this process, which prints to a file from now on; return pytest's exit code."""
    import pytest

    gc.freeze()  # pytest looks for garbage, which is not among the libraries
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    paths = [str(folder), str(folder / "plugins"), str(folder / "cluster")]
    sys.path[:1] = paths  # in place of this script's folder
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["FARM_TEST_DATA"] = str(folder / "none")
    os.chdir(folder)
    code: int = FAILED
    try:
        code = pytest.main([*PYTEST, *LOADED_BEFORE, f"--timeout={TEST_SECONDS}", *tests])
    except* pytest.PytestUnraisableExceptionWarning:  # raised after the last test: a failure, too
        traceback.print_exc()
    return code


def _write(path: Path, text: str) -> None:
    """Write a module, and forget what Python compiled of it."""
    path.write_text(text)
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


class Lanes:
    """Trees that tests run in at the same time."""

    def __init__(self, folder: Path) -> None:
        self._free: SimpleQueue[Tree] = SimpleQueue()
        for lane in range(LANES):
            self._free.put(Tree(folder / str(lane)))

    @contextmanager
    def tree(self) -> Iterator[Tree]:
        """Yield a tree in which no other tests run within the block."""
        tree = self._free.get()
        try:
            yield tree
        finally:
            self._free.put(tree)


def try_out(mutation: Mutation, lanes: Lanes) -> str:
    """Return why a mutation counts as not killed; empty if it is."""
    found = (ROOT / mutation.file).read_text().count(mutation.guard)
    if found != 1:
        return f"its guard occurs {found} times in {mutation.file}, not once"
    with lanes.tree() as tree, tree.mutated(mutation):
        began = monotonic()
        done = tree.test(*mutation.tests)
        seconds = monotonic() - began
    if done.code == FAILED:
        print(f"killed    {mutation.name} ({seconds:.1f} s)", flush=True)
        return ""
    if done.code == PASSED:
        return f"it survives {' '.join(mutation.tests)}"
    return f"the tests could not run ({done.code}):\n{done.output}"


def check_unchanged(mutations: Sequence[Mutation], lanes: Lanes) -> str:
    """Return the output of the tests if they fail in the tree as it is, else an empty string."""
    tests = dict.fromkeys(test for mutation in mutations for test in mutation.tests)
    with lanes.tree() as tree:
        done = tree.test(*tests)
    return "" if done.code == PASSED else done.output


def main(names: list[str]) -> int:
    """Try the mutations whose names contain one of these; all if there are none."""
    from farm.execution.spinning import spin_briefly  # the processes import the tree's

    chosen = [m for m in read_table() if not names or any(name in m.name for name in names)]
    if not chosen:
        print(f"no mutation is named {' or '.join(names)}; see {TABLE}")
        return 2
    spin_briefly()  # before torch is loaded
    PROCESSES.set_forkserver_preload(list(PRELOADED))
    with TemporaryDirectory(prefix="farm-mutations-") as folder, ThreadPoolExecutor(LANES) as pool:
        lanes = Lanes(Path(folder))
        parts = [part for lane in range(LANES) if (part := chosen[lane::LANES])]
        failed = [*filter(None, pool.map(lambda part: check_unchanged(part, lanes), parts))]
        if failed:
            print("the tests fail without any mutation:", *failed, sep="\n")
            return 1
        faults = list(pool.map(lambda mutation: try_out(mutation, lanes), chosen))
    for mutation, fault in zip(chosen, faults, strict=True):
        if fault:
            print(f"NOT KILLED {mutation.name}: {fault}")
    killed = faults.count("")
    print(f"{killed} of {len(chosen)} mutations killed")
    return 0 if killed == len(chosen) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
