"""A remote storage in a folder of this machine: ``folder:///absolute/path``.

Also a plugin file: link it into a plugins folder, and every process of a farm knows the scheme. What
a file is, its content, size, digest and version, is in one record that is renamed into place, under a
lock, so that any number of processes may use it. A folder named ``.refuse`` refuses everything, one
named ``.full`` is full, and what is in one named ``.away`` can be written and listed, but not read.
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from farm import hookimpl
from farm.errors import BadOutput, InputChanged, OutputReplaced, StorageUnavailable
from farm.storage import ABSENT, Entry, Scheme, SchemeFactory, Stat

SUFFIX = ".object"
SCHEME = "folder://"


class FolderStorage(Scheme):
    """Objects below a folder. The folder of an object exists only while there is one in it."""

    def fault(self, url: str) -> str:
        return "" if url.startswith(f"{SCHEME}/") else "must go on with an absolute path"

    def stat(self, url: str) -> Stat | None:
        try:
            with _path(url).open("rb") as file:
                return Stat(**json.loads(file.readline()))
        except OSError:
            return None

    def entries(self, folder: str, starts: str = "") -> Iterator[Entry]:
        parent = Path(folder.removeprefix(SCHEME))
        try:
            names = sorted(path.name for path in parent.iterdir())
        except OSError:
            return
        for name in names:
            url = folder + name.removesuffix(SUFFIX)
            if not name.startswith(starts):
                continue
            if name.endswith(SUFFIX):
                stat = self.stat(url)
                if stat:
                    yield Entry(url, is_folder=False, size=stat.size, version=stat.version)
            elif next(self.files_below(f"{url}/"), None):
                yield Entry(f"{url}/", is_folder=True)

    def files_below(self, folder: str) -> Iterator[Entry]:
        for parent, _, names in os.walk(folder.removeprefix(SCHEME)):
            for name in names:
                url = f"{SCHEME}{parent.rstrip('/')}/{name.removesuffix(SUFFIX)}"
                stat = self.stat(url) if name.endswith(SUFFIX) else None
                if stat:
                    yield Entry(url, is_folder=False, size=stat.size, version=stat.version)

    def fetch(self, url: str, seen: Stat, target: Path) -> None:
        if ".away" in _path(url).parts:
            raise StorageUnavailable(url, "the storage does not answer; check the network")
        try:
            with _path(url).open("rb") as file, target.open("ab") as copy:
                if json.loads(file.readline())["version"] != seen.version:
                    raise InputChanged(url, "has changed")
                file.seek(copy.tell(), os.SEEK_CUR)
                copy.write(file.read())
        except OSError as error:
            raise InputChanged(url, "was removed") from error

    def put(self, url: str, source: Path, sha256: str, *, expected: str | None = None) -> Stat:
        path, content = _path(url), source.read_bytes()
        if ".refuse" in path.parts:
            raise BadOutput(url, "the storage denies access; check the keys")
        if ".full" in path.parts:
            raise StorageUnavailable(url, "the quota is used up; free some space")
        stat = Stat(len(content), secrets.token_hex(8), time.time(), sha256)
        with _locked(path):
            found = self.stat(url)
            if expected is not None and (found.version if found else ABSENT) != expected:
                raise OutputReplaced(url, "another worker has written it meanwhile")
            hidden = path.with_name(f"{stat.version}.hidden")
            hidden.write_bytes(json.dumps(vars(stat)).encode() + b"\n" + content)
            hidden.replace(path)
        return stat

    def remove(self, url: str) -> None:
        if _path(url).exists():
            _path(url).unlink(missing_ok=True)


def _path(url: str) -> Path:
    return Path(url.removeprefix(SCHEME) + SUFFIX)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@hookimpl
def farm_storage() -> Mapping[str, SchemeFactory]:
    return {"folder": FolderStorage}
