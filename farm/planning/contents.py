"""Takes the digests of everything that a job depends on, once, before it is planned."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from farm.errors import BadInput
from farm.host.registry import Registry
from farm.media.blank import is_blank
from farm.model.events import Notice, ReadProgress
from farm.model.job import weights_key
from farm.planning.inputs import Source
from farm.storage import FileDigests, Look, exists, look_at

Notify = Callable[[ReadProgress | Notice], None]


class Contents:
    """Digests of files, films and networks. notify: receives how much of a folder has been read."""

    def __init__(self, registry: Registry, notify: Notify) -> None:
        self._registry, self._notify = registry, notify
        self._digests = FileDigests()

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of a file or folder. Raises BadInput, StorageFailed."""
        return self._digests.sha256(path, lambda done: self._notify(ReadProgress(path, done)))

    def of_files(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the SHA-256 of files and folders, by path. Raises BadInput, StorageFailed."""
        return {path: self.sha256(path) for path in paths}

    def of_networks(self, names: Iterable[str]) -> dict[str, str]:
        """Return the SHA-256 of the packaged weights of networks, by weights_key.

        Other weights are downloaded, and then checked against a digest of their own. Raises
        UnknownName.
        """
        specs = map(self._registry.network, names)
        files = {spec.name: spec.weights.file for spec in specs}
        return {
            weights_key(name): self.sha256(str(file))
            for name, file in files.items()
            if file is not None and file.is_file()
        }

    def of_films(self, films: Iterable[str], before: Mapping[str, Look | None]) -> dict[str, str]:
        """Return the SHA-256 of films that have been read, by path.

        before: what each looked like before it was read. Raises BadInput if one has changed since.
        """
        digests = self.of_files(films)
        for film in digests:
            if look_at(film) != before[film]:
                raise BadInput(film, "it changed while it was read; wait until it is complete")
        return digests


def run_inputs(given: Sequence[str], sources: Sequence[Source]) -> Iterable[str]:
    """Return the files and folders that a run is given; for a pattern, each file that matches it."""
    whole = [path for path in given if exists(path)]
    matches = [s.url for s in sources if not is_blank(s.url)] if len(whole) < len(given) else []
    return dict.fromkeys((*whole, *matches))
