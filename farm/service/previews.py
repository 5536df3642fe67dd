"""Previews: one picture, rendered small, before anybody submits a night's work.

Each has a folder of its own, named by its job, and both are forgotten an hour later.
"""

import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from farm.errors import BadParameter, Busy
from farm.host.registry import Registry
from farm.host.schedule import at_start
from farm.host.task import Run, Task
from farm.host.vetting import validate_params
from farm.ledger import Ledger
from farm.media.film import is_film
from farm.media.shrinking import shrunk
from farm.model.film import Moment
from farm.model.job import MOST_URGENT, FilmOptions, JobSpec
from farm.planning.film_needs import is_endless
from farm.planning.inputs import list_inputs
from farm.planning.submission import new_id
from farm.service.thumbnails import read_picture

if TYPE_CHECKING:
    from farm.media import Frame

__all__ = ["Previews"]

SIDE: Final = 320
"""Longest side in pixels."""
KEPT_SECONDS: Final = 3600.0
MOST: Final = 4
"""Previews of one client that are rendered, or wait to be, at once."""


class Previews:
    """The folder of previews."""

    def __init__(self, folder: Path, registry: Registry, ledger: Ledger) -> None:
        self._folder, self._registry, self._ledger = folder, registry, ledger
        self._open: dict[str, list[str]] = {}
        self._lock = Lock()

    def has(self, output: str) -> bool:
        """Return whether a job with this output is a preview."""
        return Path(output).is_relative_to(self._folder)

    def prepare(self, spec: JobSpec, client: str) -> tuple[JobSpec, str]:
        """Return the spec of a preview and the token of its job. Its input is a small copy.

        Of a film, its first frame, and so of an effect that makes a film of a picture. Raises BadParameter
        if the task cannot be previewed, BadInput, and Busy if the client has as many previews already as
        it may have at once.
        """
        task = self._registry.task(spec.task)
        if issubclass(task, Run):
            raise BadParameter("task", f"{spec.task} trains; only an effect can be previewed")
        endless = is_endless(task)
        params = spec.params if endless else _start_of(task, spec.params)
        first = list_inputs(spec.inputs)[0]
        token = f"preview-{secrets.token_hex(16)}"
        name = new_id(spec.task, token)
        folder = self._folder / name
        folder.mkdir(parents=True, mode=0o700)
        try:
            self._note(client, name)
            shrunk(_picture_of(first.url), SIDE).save(folder / "in.png")
        except BaseException:
            self.discard(token, spec.task)
            raise
        changes = {
            "params": params,
            "inputs": (str(folder / "in.png"),),
            "output": str(folder / ("frames/%05d.png" if endless else "out.png")),
            "frames": "1" if endless else None,
            "film": FilmOptions(),
            "plan": spec.plan.model_copy(update={"size": None}),
            "overwrite": True,
            "priority": MOST_URGENT,
            "after": (),
            "workers": 1,
        }
        return spec.model_copy(update=changes), token

    def discard(self, token: str, task: str) -> None:
        """Remove the folder of a preview whose job was refused."""
        shutil.rmtree(self._folder / new_id(task, token), ignore_errors=True)

    def _note(self, client: str, name: str) -> None:
        """Note a preview of a client. Raises Busy if others are not done yet."""
        with self._lock:
            before = [one for one in self._open.get(client, ()) if not self._is_over(one)]
            if len(before) >= MOST:
                raise Busy(f"{MOST} previews of yours are being rendered; wait for one of them")
            self._open = {c: names for c, names in self._open.items() if names and c != client}
            self._open[client] = [*before, name]

    def _is_over(self, name: str) -> bool:
        """Return whether a preview has ended, or was refused or forgotten."""
        job = self._ledger.job(name)
        return job.state.is_final if job else not (self._folder / name).is_dir()

    def forget(self) -> None:
        """Remove the previews that ended an hour ago, with their jobs."""
        if not self._folder.is_dir():
            return
        for folder in list(self._folder.iterdir()):
            if time.time() - folder.stat().st_mtime < KEPT_SECONDS:
                continue
            job = self._ledger.job(folder.name)
            if job is None or job.state.is_final:
                self._ledger.forget_job(folder.name)
                shutil.rmtree(folder, ignore_errors=True)


def _start_of(task: type[Task], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a film's first frame."""
    return at_start(validate_params(task, params)).model_dump(mode="json")


def _picture_of(url: str) -> "Frame":
    """Return a still, or the first frame of a film."""
    return read_picture(url, Moment(0) if is_film(url) else None)
