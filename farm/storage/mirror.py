"""A run's folder whose content also lives in a remote folder."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from farm.storage.copies import local_copies
from farm.storage.local import open_whole, sha256_file, version_of
from farm.storage.measuring import transfer
from farm.storage.scheme import ABSENT, Entry, Stat
from farm.storage.schemes import scheme_of
from farm.storage.urls import as_folder, is_own

__all__ = ["Mirror"]


class Mirror:
    """A local folder and the remote folder that it is copied to. For one writer at a time.

    It replaces only what was there when it was pulled first, or what it has written itself; where
    another worker has written since, push raises OutputReplaced. It removes only what it has fetched
    or written.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = as_folder(url), folder
        self._scheme: Final = scheme_of(self._url)
        self._is_known = False
        self._remote: dict[str, str] = {}
        self._local: dict[str, str] = {}

    def pull(self, wanted: Callable[[str], bool] = lambda _name: True) -> None:
        """Fetch the files that the local folder lacks or has otherwise.

        wanted: says for a name relative to the folder whether to fetch it. Raises BadInput,
        InputChanged, StorageFailed, StorageUnavailable.
        """
        for file in self._scheme.files_below(self._url):
            name = file.url.removeprefix(self._url)
            if is_own(name):
                continue
            target = self._folder / name
            is_here = self._remote.get(name) == file.version and target.exists()
            if wanted(name) and not is_here:
                self._fetch(file, target)
                self._local[name] = version_of(target)
            self._remote[name] = file.version
        self._is_known = True

    def _fetch(self, file: Entry, target: Path) -> None:
        seen = self._scheme.stat(file.url) or Stat(file.size, file.version, 0.0)
        copy = local_copies().copy(file.url, replace(seen, version=file.version), self._scheme)
        with copy.open("rb") as content, open_whole(target) as written:
            shutil.copyfileobj(content, written)

    def push(self, order: Callable[[str], int] = lambda _name: 0) -> None:
        """Write the files that changed since the last push, and remove those that are gone here.

        order: of a relative name; files with a higher one are written later and removed earlier,
        because they depend on the others. Files that are being written are left out. Raises BadOutput, OutputReplaced, StorageUnavailable and
        StorageFailed; a later push goes on where this one ended.
        """
        if not self._is_known:
            self.pull(lambda _name: False)
        found = [path for path in self._folder.rglob("*") if path.is_file() and not is_own(path)]
        names = {str(path.relative_to(self._folder)) for path in found}
        for name in sorted(names, key=lambda name: (order(name), name)):
            self._push(name)
        for name in sorted(self._local.keys() - names, key=order, reverse=True):
            self._scheme.remove(self._url + name)
            self._remote.pop(name, None)
            del self._local[name]

    def _push(self, name: str) -> None:
        path = self._folder / name
        version = version_of(path)
        if self._local.get(name) == version:
            return
        expected = self._remote.get(name, ABSENT)
        digest, url = sha256_file(path), self._url + name
        with transfer(url, "write") as moved:
            moved.begin()
            stat = self._scheme.put(url, path, digest, expected=expected)
            moved.bytes = stat.size
        self._remote[name], self._local[name] = stat.version, version
