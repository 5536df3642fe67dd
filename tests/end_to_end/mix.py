"""A mix of jobs of every kind, and a service to run them on inputs drawn elsewhere."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from .services import Request, Service, digests_of, faults_of, work_off

STILLS_AND_FILM: Final = (
    Request("stills", "negative", "in/stills/", "out/stills/"),
    Request(
        "film", "negative", "in/clip.mp4", "out/film.mp4", options={"film": {"coherence": "flow"}}
    ),
)

MIX: Final = (
    *STILLS_AND_FILM,
    Request(
        *("run", "train-style", "in/style.png", "out/run/"),
        params={
            "photos": "in/stills",
            "steps": 16,
            "batch": 2,
            "side": 64,
            "style_side": 64,
            "width": 4,
            "blocks": 1,
            "every": 4,
        },
    ),
    Request(
        *("shared", "dream", "in/large.png", "out/shared.png"),
        params={"iterations": 3, "octaves": 2, "layers": ["inception3a"]},
        options={"workers": 2, "plan": {"tile": 96}},
    ),
)
"""Stills, a coherent film, a training run, and a still that two workers share."""


@contextmanager
def made(
    folder: Path, sources: Path, ledger: str = "", words: tuple[str, ...] = ()
) -> Iterator[Service]:
    """Yield a service that has not been started, and kill it in the end."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(sources, folder / "in")
    environment = {"FARM_CACHE": str(folder / "cache")}
    ledger = ledger or f"sqlite:///{folder}/ledger.db"
    service = Service(folder, ledger, words, environment)
    try:
        yield service
    finally:
        service.kill()


def undisturbed(folder: Path, sources: Path, requests: Sequence[Request]) -> dict[str, str]:
    """Return the digests of what a service writes that nothing befalls, with a single worker."""
    alone = [replace(each, options=each.options | {"workers": 1}) for each in requests]
    with made(folder, sources) as service:
        service.start()
        work_off(service, alone)
        assert service.stop() == 0
        assert [*faults_of(service, alone)] == []
        return digests_of(service.folder / "out")
