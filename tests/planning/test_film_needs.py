"""An effect's films have the coherence that it says it needs, and its stills are as ever."""

from pathlib import Path

import pytest
from PIL import Image

from farm.errors import BadParameter
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.film import Coherence
from farm.model.job import FilmOptions, JobSpec
from farm.planning.submission import Planner, Submission

from ..distributions import effect  # noqa: TID252 - shared between rooms
from ..workbench import ledger, ledger_url  # noqa: TID252 - shared between rooms

__all__ = ["ledger", "ledger_url"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.png")
    (tmp_path / "own").mkdir()
    needing = effect("trails").replace("    name =", "    coherence = 'previous'\n    name =")
    (tmp_path / "own" / "trails.py").write_text(needing)
    return tmp_path


def submission(
    ledger: Ledger, folder: Path, name: str, output: str, asked: Coherence = "none"
) -> Submission:
    planner = Planner(Registry.load(folder / "own"), ledger, lambda _: None)
    film = FilmOptions(coherence=asked)
    inputs = (str(folder / name),)
    spec = JobSpec(task="trails", inputs=inputs, output=str(folder / output), film=film)
    return planner.plan(spec, created=0)


@pytest.mark.parametrize(("asked", "given"), [("none", "previous"), ("flow", "flow")])
def test_a_film_is_as_coherent_as_its_effect_needs_or_as_was_asked_for_if_that_is_more(
    ledger: Ledger, folder: Path, asked: Coherence, given: Coherence
) -> None:
    planned = submission(ledger, folder, "film.gif", "out.gif", asked)
    assert planned.job.spec.film.coherence == given
    second = next(each.unit for each in planned.units if each.unit.name.endswith("000002"))
    assert [name.rpartition("/")[2] for name in second.needs] == ["000001"]


def test_a_still_needs_no_previous_frame_and_none_may_be_asked_for(
    ledger: Ledger, folder: Path
) -> None:
    assert len(submission(ledger, folder, "still.png", "out.png").units) == 1
    with pytest.raises(BadParameter, match="coherence: only applies to films"):
        submission(ledger, folder, "still.png", "other.png", "flow")
