"""Claims on outputs, so that no two jobs write the same file at once.

A claim is a hidden file in the folder of the outputs. It names them and the process that writes
them, so farms with other ledgers and on other machines see it too.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from farm.errors import BadOutput, StorageFailed
from farm.process import FarmProcess
from farm.storage.claim_content import EVERYTHING, ClaimContent, shared_name
from farm.storage.claim_files import ClaimFile
from farm.storage.claim_objects import ClaimObject
from farm.storage.urls import is_remote, join, name, parent

__all__ = ["EVERYTHING", "Claim", "claim"]


class Claim:
    """The right of one job to write its outputs. Take one with claim."""

    def __init__(self, job: str, process: FarmProcess, began: float) -> None:
        self._job, self._process, self._began = job, process, began
        self._names: dict[str, tuple[str, ...]] = {}
        self._marks: dict[str, ClaimFile | ClaimObject] = {}
        self._lost: set[str] = set()
        self._created: list[Path] = []

    def take(self, targets: Iterable[str | Path]) -> None:
        """Claim these files. Raises BadOutput if a living process has claimed one of them."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for target in targets:
            names[parent(target)].append(name(target))
        self._names = {folder: tuple(listed) for folder, listed in names.items()}
        try:
            for folder in self._names:
                self._take(folder)
        except StorageFailed as error:
            self.release()
            raise BadOutput(error.url, error.reason) from error
        except BaseException:
            self.release()
            raise

    def beat(self) -> None:
        """Show that the process lives.

        A claim whose file is gone is taken again. Raises BadOutput if another job has it by now.
        """
        for folder, mark in list(self._marks.items()):
            if not mark.renew():
                del self._marks[folder]
                mark.remove()
                self._lost.add(folder)
        for folder in list(self._lost):
            with suppress(StorageFailed):
                self._take(folder)
                self._lost.remove(folder)

    def touch(self) -> None:
        """Show that the process lives, whether or not the claim still has its files."""
        for mark in list(self._marks.values()):
            mark.renew()

    def release(self) -> None:
        """Give the outputs up, and remove the folders that were created for them and are empty."""
        for mark in self._marks.values():
            mark.remove()
        self._marks.clear()
        for folder in reversed(self._created):
            with suppress(OSError):
                folder.rmdir()
        self._created.clear()

    def _take(self, folder: str) -> None:
        content = ClaimContent.of(self._job, self._process, self._began, self._names[folder])
        mark = self._marks.get(folder) or self._write(folder, content)
        if mark is None:
            return
        self._marks[folder] = mark
        ours = {mark.spelled(each) for each in content.names}
        for other in mark.others():
            shared = shared_name(ours, map(mark.spelled, other.names))
            if shared is not None:
                reason = f"{other} is writing it; wait until it ends, stop it, or choose another path with -o"
                raise BadOutput(join(folder, shared) if shared else folder, reason)

    def _write(self, folder: str, content: ClaimContent) -> ClaimFile | ClaimObject | None:
        if is_remote(folder):
            return ClaimObject.write(folder, content)
        return ClaimFile.write(Path(folder), content, self._created)


def claim(targets: Sequence[str | Path], job: str, process: FarmProcess, began: float) -> Claim:
    """Claim files for a job of a farm's process.

    targets: of one folder or several; EVERYTHING as the name means the whole folder. began: Unix
    seconds, for the message to others. Raises BadOutput with the job that writes one of them.
    """
    taken = Claim(job, process, began)
    taken.take(targets)
    return taken
