"""Previews: one picture, rendered small, before anybody submits a night's work.

Each has a folder of its own, named by its job, and both are forgotten an hour later.
"""

import secrets
import shutil
import time
from pathlib import Path
from typing import Final

from farm.errors import BadParameter
from farm.host.registry import Registry
from farm.host.task import Run
from farm.ledger import Ledger
from farm.media import read_still
from farm.media.blank import is_blank
from farm.media.film import is_film
from farm.model.job import MOST_URGENT, JobSpec
from farm.planning.inputs import list_inputs
from farm.planning.submission import new_id
from farm.service.thumbnails import MAX_PIXELS, shrunk

__all__ = ["Previews"]

SIDE: Final = 320
"""Longest side in pixels."""
KEPT_SECONDS: Final = 3600.0


class Previews:
    """The folder of previews."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self._folder, self._registry = folder, registry

    def has(self, output: str) -> bool:
        """Return whether a job with this output is a preview."""
        return Path(output).is_relative_to(self._folder)

    def prepare(self, spec: JobSpec) -> tuple[JobSpec, str]:
        """Return the spec of a preview and the token of its job. Its input is a small copy.

        Raises BadParameter if the task or the input cannot be previewed, and BadInput.
        """
        if issubclass(self._registry.task(spec.task), Run):
            raise BadParameter("task", f"{spec.task} trains; only an effect can be previewed")
        first = list_inputs(spec.inputs)[0]
        if not is_blank(first.url) and is_film(first.url):
            raise BadParameter("inputs", "a film cannot be previewed; give a picture")
        token = f"preview-{secrets.token_hex(16)}"
        folder = self._folder / new_id(spec.task, token)
        folder.mkdir(parents=True, mode=0o700)
        self._write_small(first.url, folder / "in.png")
        changes = {
            "inputs": (str(folder / "in.png"),),
            "output": str(folder / "out.png"),
            "frames": None,
            "plan": spec.plan.model_copy(update={"size": None}),
            "overwrite": True,
            "priority": MOST_URGENT,
        }
        return spec.model_copy(update=changes), token

    @staticmethod
    def _write_small(url: str, target: Path) -> None:
        shrunk(read_still(url, max_pixels=MAX_PIXELS), SIDE).save(target)

    def forget(self, ledger: Ledger) -> None:
        """Remove the previews that have ended and are old, with their jobs."""
        if not self._folder.is_dir():
            return
        for folder in list(self._folder.iterdir()):
            if time.time() - folder.stat().st_mtime < KEPT_SECONDS:
                continue
            job = ledger.job(folder.name)
            if job is None or job.state.is_final:
                ledger.forget_job(folder.name)
                shutil.rmtree(folder, ignore_errors=True)
