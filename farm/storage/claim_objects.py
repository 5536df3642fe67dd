"""A claim as a hidden file in a remote folder, where nothing can be locked.

It counts until it has not been written again for SILENT_SECONDS by the storage's own clock, or until
its process, if it is one of this machine, has ended.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Self

from farm.errors import BadInput, BadOutput, InputChanged, OutputReplaced, StorageFailed
from farm.process import SILENT_SECONDS
from farm.storage.claim_content import ClaimContent
from farm.storage.scheme import ABSENT, Scheme, Stat
from farm.storage.schemes import scheme_of
from farm.storage.urls import as_folder, name

__all__ = ["ClaimObject"]


class ClaimObject:
    """One job's claim on files of a remote folder."""

    def __init__(self, scheme: Scheme, url: str, content: ClaimContent, written: Stat) -> None:
        self._scheme, self._url, self._content = scheme, url, bytes(content)
        self._written = written
        self._renewing = Lock()

    @classmethod
    def write(cls, folder: str, content: ClaimContent) -> Self:
        """Write a claim. Raises BadOutput, StorageFailed."""
        scheme = scheme_of(folder, BadOutput)
        url = f"{as_folder(folder)}.farm-{content.job}-{secrets.token_hex(4)}.claim"
        return cls(scheme, url, content, scheme.put_bytes(url, bytes(content), expected=ABSENT))

    def renew(self) -> bool:
        """Show that the process lives. Returns False if the claim has certainly lost its file."""
        with self._renewing:
            try:
                self._written = self._scheme.put_bytes(
                    self._url, self._content, expected=self._written.version
                )
            except OutputReplaced:
                return False
            except (BadOutput, StorageFailed):
                return True
        return True

    def others(self) -> Iterator[ClaimContent]:
        """Yield the other claims on the folder that count, and remove those that do not."""
        folder = self._url.rpartition("/")[0] + "/"
        with _errors_of_output(folder):
            for entry in self._scheme.entries(folder, ".farm-"):
                if entry.url.endswith(".claim") and entry.url != self._url:
                    yield from self._living(entry.url)

    def spelled(self, name: str) -> str:
        """Return the name: a remote storage tells all names apart."""
        return name

    def remove(self) -> None:
        """Give the claim up."""
        with suppress(BadOutput, StorageFailed):
            self._scheme.remove(self._url)

    def _living(self, url: str) -> Iterator[ClaimContent]:
        seen = self._scheme.stat(url)
        if seen is None:
            return
        try:
            content = ClaimContent.parse(self._scheme.read_bytes(url, seen), name(url))
        except InputChanged:  # it was written again just now, or given up
            content = ClaimContent.parse(b"", name(url))
        is_silent = self._written.modified - seen.modified >= SILENT_SECONDS
        if is_silent or content.is_ended:
            with suppress(BadOutput, StorageFailed):
                self._scheme.remove(url)
        else:
            yield content


@contextmanager
def _errors_of_output(folder: str) -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        raise BadOutput(folder, error.reason) from error
