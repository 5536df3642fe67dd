"""A claim as a hidden file in a remote folder, where nothing can be locked.

It counts until it has not been written again for SILENT_SECONDS by the storage's own clock, or until
its process, if it is one of this machine, has ended.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread
from typing import Final, Self

from farm.errors import BadInput, BadOutput, InputChanged, OutputReplaced, StorageFailed
from farm.process import SILENT_SECONDS
from farm.storage.claim_content import ClaimContent
from farm.storage.scheme import ABSENT, Scheme, Stat
from farm.storage.schemes import scheme_of
from farm.storage.urls import as_folder, name

__all__ = ["ClaimObject"]

_PATIENCE_SECONDS: Final = 10.0
_LOOKS: Final = 3
"""How often to look at a claim that is written again while it is read."""


class ClaimObject:
    """One job's claim on files of a remote folder."""

    def __init__(self, scheme: Scheme, url: str, content: ClaimContent, written: Stat) -> None:
        self._scheme, self._url, self._content = scheme, url, bytes(content)
        self._written = written
        self._is_lost = False
        self._renewal: Thread | None = None
        self._beginning = Lock()

    @classmethod
    def write(cls, folder: str, content: ClaimContent) -> Self:
        """Write a claim. Raises BadOutput, StorageFailed."""
        scheme = scheme_of(folder, BadOutput)
        url = f"{as_folder(folder)}.farm-{content.job}-{secrets.token_hex(4)}.claim"
        return cls(scheme, url, content, scheme.put_bytes(url, bytes(content), expected=ABSENT))

    def renew(self) -> bool:
        """Begin to write the claim again, which shows that the process lives.

        Waits for no storage: returns False if an earlier renewal found the claim's file gone.
        """
        with self._beginning:
            if not self._renewal or not self._renewal.is_alive():
                self._renewal = Thread(target=self._write_again, name="farm-claim", daemon=True)
                self._renewal.start()
        return not self._is_lost

    def _write_again(self) -> None:
        with suppress(BadOutput, StorageFailed):
            try:
                self._written = self._scheme.put_bytes(
                    self._url, self._content, expected=self._written.version
                )
            except OutputReplaced:
                self._is_lost = True

    def wait(self) -> None:
        """Wait until the last renewal has ended, or cannot be expected to end soon."""
        if self._renewal:
            self._renewal.join(_PATIENCE_SECONDS)

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
        self.wait()  # it must not appear again
        with suppress(BadOutput, StorageFailed):
            self._scheme.remove(self._url)

    def _living(self, url: str) -> Iterator[ClaimContent]:
        if (found := self._look(url, _LOOKS)) is None:
            return
        seen, content = found
        is_silent = self._written.modified - seen.modified >= SILENT_SECONDS
        if is_silent or content.is_ended:
            with suppress(BadOutput, StorageFailed):
                self._scheme.remove(url)
        else:
            yield content

    def _look(self, url: str, looks: int) -> tuple[Stat, ClaimContent] | None:
        """Return a claim as it is now; None if it was given up."""
        seen = self._scheme.stat(url)
        if seen is None:
            return None
        try:
            return seen, ClaimContent.parse(self._scheme.read_bytes(url, seen), name(url))
        except InputChanged:  # it was written again just now, or given up
            return (
                self._look(url, looks - 1)
                if looks > 1
                else (seen, ClaimContent.parse(b"", name(url)))
            )


@contextmanager
def _errors_of_output(folder: str) -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        raise BadOutput(folder, error.reason) from error
