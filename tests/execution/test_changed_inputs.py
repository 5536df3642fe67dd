"""Files that change while a job renders: its units fail in words, and no output mixes two contents."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farm.control.controller import Controller
from farm.errors import InputChanged
from farm.execution.finishing import Finisher
from farm.execution.frame_source import FrameSource
from farm.execution.threads import LocalExecutor
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.media import Frame, read_record
from farm.media.film import choose_format, encode_part, read_film, read_film_record
from farm.model.events import News, UnitChanged
from farm.model.history import UnitRecord
from farm.model.job import FilmOptions, JobSpec, Plan
from farm.model.messages import Order
from farm.model.unit import Unit, UnitState
from farm.model.work import Join, Render
from farm.storage import KnownFiles, sha256_file

from ..clips import clip, pictures  # noqa: TID252 - shared between rooms

__all__ = ["clip", "pictures"]

MakeClip = Callable[..., str]
Act = Callable[[], object]

EFFECT = '''
from pathlib import Path
from farm import Effect, Field, FilePath, TaskParams, hookimpl

class Tint(Effect):
    """Mixes a guide into the picture."""
    name = "tint"
    class Params(TaskParams):
        guide: FilePath | None = Field(None, description="Picture to mix in.")
        lut: FilePath | None = Field(None, description="A file with one byte.")
    def render(self, image, context):
        if self.params.guide:
            image = image * 0.5 + context.read(self.params.guide).mean() * 0.5
        if self.params.lut:
            image = image * context.load(self.params.lut, level)
        return image

def level(path):
    return path.read_bytes()[0] / 255

@hookimpl
def farm_tasks():
    return [Tint]
'''


class Farm:
    """A farm of one worker in this process, whose jobs something happens to."""

    def __init__(self, folder: Path) -> None:
        plugins = folder / "plugins"
        plugins.mkdir()
        (plugins / "tinting.py").write_text(EFFECT)
        self._registry = Registry.load(plugins)
        self._ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
        self._executor = LocalExecutor(self._registry)
        self.notes: list[str] = []
        self._after: dict[int, Act] = {}
        self._done = 0

    def close(self) -> None:
        self._executor.close()
        self._ledger.close()

    def run(
        self, spec: JobSpec, after: dict[int, Act] | None = None, *, resume: bool = False
    ) -> dict[str, UnitRecord]:
        """Run a job to its end; return its units by name. after: what to do after so many units."""
        self._after, self._done = dict(after or {}), 0
        controller = Controller(self._registry, self._executor, self._ledger, observers=[self])
        job = controller.add(spec, resume=resume)
        controller.run()
        return {record.unit.name: record for record in self._ledger.units(job.id)}

    def on_event(self, event: News) -> None:
        if isinstance(event, UnitChanged) and event.state is UnitState.SUCCEEDED:
            self._done += 1
            self._after.pop(self._done, lambda: None)()
        self.notes += [event.note] if hasattr(event, "note") and hasattr(event, "url") else []


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    farm = Farm(tmp_path)
    yield farm
    farm.close()


def states(units: dict[str, UnitRecord]) -> set[UnitState]:
    return {record.state for record in units.values()}


def reasons(units: dict[str, UnitRecord]) -> set[str]:
    return {r.reason for r in units.values() if r.state is UnitState.QUARANTINED}


def grey(path: Path, level: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (32, 24), (level, level, level)).save(path)
    return path


def stills(tmp_path: Path, output: str = "out/", **params: object) -> JobSpec:
    """Return a job over twelve black stills."""
    for number in range(12):
        grey(tmp_path / "in" / f"{number:02}.png", 0)
    inputs, output = (str(tmp_path / "in"),), str(tmp_path / output) + "/"
    return JobSpec(task="tint", inputs=inputs, output=output, params=params)


def levels(folder: Path) -> set[int]:
    return {Image.open(path).getpixel((0, 0))[0] for path in folder.iterdir()}


def test_a_guide_that_is_replaced_in_mid_job_fails_the_rest_in_words(
    tmp_path: Path, farm: Farm
) -> None:
    guide = grey(tmp_path / "guide.png", 100)
    units = farm.run(stills(tmp_path, guide=str(guide)), {3: lambda: grey(guide, 200)})
    assert reasons(units) == {str(InputChanged(str(guide), "has changed"))}
    assert states(units) == {UnitState.SUCCEEDED, UnitState.QUARANTINED}
    assert levels(tmp_path / "out") == {50}, "frames of two guides"


def test_a_guide_that_is_restored_lets_the_job_be_resumed(tmp_path: Path, farm: Farm) -> None:
    guide = grey(tmp_path / "guide.png", 100)
    spec = stills(tmp_path, guide=str(guide))
    before = {path: record.state for path, record in farm.run(spec, {3: guide.unlink}).items()}
    assert UnitState.QUARANTINED in before.values()
    grey(guide, 100)
    after = farm.run(spec, resume=True)
    for name, state in before.items():
        is_done = state is UnitState.SUCCEEDED
        assert after[name].state is (UnitState.SKIPPED if is_done else UnitState.SUCCEEDED)


def test_a_changed_guide_makes_another_job_and_says_so(tmp_path: Path, farm: Farm) -> None:
    guide = grey(tmp_path / "guide.png", 100)
    spec = stills(tmp_path, guide=str(guide))
    farm.run(spec)
    guide.touch()
    assert states(farm.run(spec, resume=True)) == {UnitState.SKIPPED}
    assert farm.notes == []
    grey(guide, 200)
    assert states(farm.run(spec, resume=True)) == {UnitState.SUCCEEDED}
    (note,) = farm.notes
    assert note.startswith(
        "nothing can be reused: guide changed: guide.png has different content; "
    )
    assert levels(tmp_path / "out") == {100}


def test_a_loaded_file_is_checked_and_is_never_stale(tmp_path: Path, farm: Farm) -> None:
    lut = tmp_path / "lut"
    lut.write_bytes(b"\x80")
    for level in (128, 64):
        lut.write_bytes(bytes([level]))
        for number in range(12):
            grey(tmp_path / "in" / f"{number:02}.png", 255)
        spec = JobSpec(
            task="tint",
            inputs=(str(tmp_path / "in"),),
            output=f"{tmp_path}/out/",
            params={"lut": str(lut)},
            overwrite=True,
        )
        assert states(farm.run(spec)) == {UnitState.SUCCEEDED}
        assert levels(tmp_path / "out") == {level}
    units = farm.run(spec, {3: lambda: lut.write_bytes(b"\1")})
    assert all("lut has changed since" in reason for reason in reasons(units))
    assert reasons(units)
    assert levels(tmp_path / "out") == {64}


def test_the_record_names_a_guide_by_name_and_digest(tmp_path: Path, farm: Farm) -> None:
    guide = grey(tmp_path / "guide.png", 100)
    farm.run(stills(tmp_path, guide=str(guide)))
    record = read_record(str(tmp_path / "out" / "00.png"))
    assert record
    assert record["params"] == {
        "guide": {"name": "guide.png", "sha256": sha256_file(guide)},
        "lut": None,
    }


def film(source: str, output: Path, **options: object) -> JobSpec:
    return JobSpec(
        task="tint",
        inputs=(source,),
        output=str(output),
        film=FilmOptions.model_validate(options),
    )


@pytest.mark.parametrize("coherence", ["none", "flow"])
@pytest.mark.parametrize("change", ["replace", "overwrite", "truncate", "remove"])
def test_a_film_that_changes_while_it_renders_fails_in_words_and_is_not_written(
    change: str, coherence: str, tmp_path: Path, farm: Farm, clip: MakeClip
) -> None:
    source = Path(clip("clip.mp4", sound="aac"))
    other = Path(clip("other.mp4", title="other"))
    acts: dict[str, Act] = {
        "replace": lambda: other.replace(source),
        "overwrite": lambda: shutil.copyfile(other, source),
        "truncate": lambda: source.write_bytes(source.read_bytes()[:-100]),
        "remove": source.unlink,
    }
    spec = film(str(source), tmp_path / "out.mp4", coherence=coherence)
    units = farm.run(spec, {5: acts[change]})
    what = "was removed" if change == "remove" else "has changed"
    frames = {
        name: record for name, record in units.items() if isinstance(record.unit.work, Render)
    }
    assert reasons(frames) == {str(InputChanged(str(source), what))}
    assert units["clip/part0001"].state is UnitState.QUARANTINED
    assert units["clip/film"].state is not UnitState.SUCCEEDED
    assert not (tmp_path / "out.mp4").exists()


def test_a_film_that_is_only_touched_is_rendered(
    tmp_path: Path, farm: Farm, clip: MakeClip
) -> None:
    source = Path(clip("clip.mp4"))
    units = farm.run(film(str(source), tmp_path / "out.mp4"), {5: source.touch})
    assert states(units) == {UnitState.SUCCEEDED}
    assert (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("unit", ["part0001", "film"])
def test_a_film_that_changes_after_its_frames_is_not_joined(
    unit: str, tmp_path: Path, farm: Farm, clip: MakeClip
) -> None:
    source, other = Path(clip("clip.mp4", sound="aac")), Path(clip("other.mp4"))
    after = {"part0001": 29, "film": 30}[unit]
    units = farm.run(
        film(str(source), tmp_path / "out.mp4"), {after: lambda: other.replace(source)}
    )
    assert units["clip/film"].state is not UnitState.SUCCEEDED
    assert not (tmp_path / "out.mp4").exists()


def test_a_film_that_changes_while_its_parts_are_joined_is_not_written(
    tmp_path: Path, clip: MakeClip, pictures: Callable[..., list[tuple[int, int, Frame]]]
) -> None:
    source, other = Path(clip("clip.mp4", sound="aac")), Path(clip("other.mp4", title="other"))
    target, part = tmp_path / "out.mp4", str(tmp_path / "part.nut")
    form = choose_format(str(target), None, "draft", None, film=read_film(str(source)))
    encode_part(part, form, pictures((0, 1, 2)), {})
    unit = Unit("job", "clip/film", str(source), str(target), work=Join((part,), form))
    files = {str(source): sha256_file(source)}
    order = Order(unit, 1, "token", "tint", {}, Plan(), files=files)
    with pytest.raises(InputChanged, match="has changed"):
        Finisher().run(order, lambda *_: other.replace(source), lambda: False)
    assert not target.exists()


def test_an_open_film_that_is_replaced_is_opened_anew(tmp_path: Path, clip: MakeClip) -> None:
    source = clip("clip.mp4")
    first, second = (read_film(source).moment(index) for index in (3, 4))
    frames = FrameSource()
    colourful, _ = frames.read(source, first, KnownFiles())
    assert colourful.pixels.std() > 0.1
    white = np.ones((64, 96, 3), np.float32)
    Path(clip("white.mp4", draw=lambda _: white)).replace(source)
    frame, digest = frames.read(source, second, KnownFiles())
    frames.close()
    assert frame.pixels.min() > 0.95
    assert digest == sha256_file(Path(source))


def test_a_changed_film_costs_a_resumed_job_its_own_frames_only(
    tmp_path: Path, farm: Farm, clip: MakeClip
) -> None:
    (tmp_path / "films").mkdir()
    for name in ("one.mp4", "two.mp4"):
        Path(clip(name)).rename(tmp_path / "films" / name)
    spec = JobSpec(
        task="tint", inputs=(str(tmp_path / "films"),), output=str(tmp_path / "out") + "/"
    )
    farm.run(spec)
    Path(clip("new.mp4", title="new")).replace(tmp_path / "films" / "two.mp4")
    units = farm.run(spec, resume=True)
    assert farm.notes == []
    for name, record in units.items():
        is_new = name.startswith("two/")
        assert record.state is (UnitState.SUCCEEDED if is_new else UnitState.SKIPPED), name


def test_the_record_of_a_film_describes_the_film(
    tmp_path: Path, farm: Farm, clip: MakeClip
) -> None:
    source = clip("clip.mp4")
    spec = film(source, tmp_path / "out.mp4", coherence="flow", depth=10, quality="draft")
    farm.run(spec.model_copy(update={"frames": "1-20"}))
    record = read_film_record(str(tmp_path / "out.mp4"))
    assert record
    assert record["task"] == "tint"
    assert record["source"] == {"name": "clip.mp4", "sha256": sha256_file(Path(source))}
    assert record["depth"] == 10
    assert record["film"] == {
        "coherence": "flow",
        "codec": "h264",
        "quality": "draft",
        "frames": "1-20",
    }
    assert "seed" not in record
    assert record["plan"]["seed"] == 0
