"""Break each guard listed in mutations.toml, and see a test fail: python tests/mutations.py [NAME...].

A mutation replaces the text of one guard in a copy of the tree, and only the tests named beside it
run there, without real test data. It is killed if they fail. A mutation that survives means that
nobody would notice if the guard were lost. NAME: a mutation's name, or a part of it.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from shutil import copy, copytree, ignore_patterns
from tempfile import TemporaryDirectory
from time import monotonic

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".toml")
COPIED = ("farm", "plugins", "cluster", "deploy", "docs", "tests")
LANES = 2
"""Mutations tried at the same time, each in a copy of its own."""

PYTEST = ("-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist")
TEST_SECONDS = 60
PASSED, FAILED = 0, 1
"""Exit codes of pytest."""


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

    def test(self, *tests: str) -> "subprocess.CompletedProcess[str]":
        paths = (self.folder, self.folder / "plugins", self.folder / "cluster")
        environment = {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "FARM_TEST_DATA": str(self.folder / "none"),
        }
        return subprocess.run(
            [sys.executable, *PYTEST, f"--timeout={TEST_SECONDS}", *tests],
            cwd=self.folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            check=False,
        )


def _write(path: Path, text: str) -> None:
    """Write a module, and forget what Python compiled of it."""
    path.write_text(text)
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def try_out(mutation: Mutation, trees: "SimpleQueue[Tree]") -> str:
    """Return why a mutation counts as not killed; empty if it is."""
    found = (ROOT / mutation.file).read_text().count(mutation.guard)
    if found != 1:
        return f"its guard occurs {found} times in {mutation.file}, not once"
    tree = trees.get()
    try:
        began = monotonic()
        with tree.mutated(mutation):
            done = tree.test(*mutation.tests)
        seconds = monotonic() - began
    finally:
        trees.put(tree)
    if done.returncode == FAILED:
        print(f"killed    {mutation.name} ({seconds:.0f} s)", flush=True)
        return ""
    if done.returncode == PASSED:
        return f"it survives {' '.join(mutation.tests)}"
    return f"the tests could not run:\n{done.stdout}"


def check_unchanged(mutations: list[Mutation], tree: Tree) -> str:
    """Return the output of the tests if they fail in the tree as it is, else an empty string."""
    done = tree.test(*dict.fromkeys(test for mutation in mutations for test in mutation.tests))
    return "" if done.returncode == PASSED else done.stdout


def main(names: list[str]) -> int:
    """Try the mutations whose names contain one of these; all if there are none."""
    chosen = [m for m in read_table() if not names or any(name in m.name for name in names)]
    if not chosen:
        print(f"no mutation is named {' or '.join(names)}; see {TABLE}")
        return 2
    trees: SimpleQueue[Tree] = SimpleQueue()
    with TemporaryDirectory(prefix="farm-mutations-") as folder, ThreadPoolExecutor(LANES) as pool:
        for lane in range(LANES):
            trees.put(Tree(Path(folder) / str(lane)))
        first = trees.get()
        if failed := check_unchanged(chosen, first):
            print(f"the tests fail without any mutation:\n{failed}")
            return 1
        trees.put(first)
        faults = list(pool.map(lambda mutation: try_out(mutation, trees), chosen))
    for mutation, fault in zip(chosen, faults, strict=True):
        if fault:
            print(f"NOT KILLED {mutation.name}: {fault}")
    killed = faults.count("")
    print(f"{killed} of {len(chosen)} mutations killed")
    return 0 if killed == len(chosen) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
