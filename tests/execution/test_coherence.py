"""A frame of a coherent film follows the one before it, and is changed as strongly."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import torch

from farm import Context, Effect, OverTime, TaskParams, TimedParams
from farm.errors import DeviceMemory
from farm.execution.coherence import FrameBefore
from farm.execution.contexts import ContextFactory
from farm.execution.rendering import Renderer
from farm.host.registry import Registry
from farm.media import Frame, read_still, write_still
from farm.media.strength import strength_of
from farm.model.job import FilmOptions, Plan
from farm.model.messages import Figures, Order
from farm.model.unit import Unit
from farm.model.work import Before, Render
from farm.planning.plan import LOOK_AHEAD, FilmFrame, Footage, FrameSequence, plan_units


class Grain(Effect):
    """Draws new grain in every frame. continues: that it continues the previous frame. keeps: its strength."""

    def __init__(self, *, continues: bool = False, keeps: bool = False) -> None:
        self._continues, self._keeps = continues, keeps

    @property
    def continues_previous(self) -> bool:
        return self._continues

    @property
    def keeps_strength(self) -> bool:
        return self._keeps

    def render(self, image: Any, context: object) -> Any:
        raise NotImplementedError


class NoMemory:
    """A search for optical flow on a machine whose memory is used up."""

    @staticmethod
    def create(_preset: int) -> None:
        raise MemoryError


def source(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.repeat(0.5 + 0.1 * np.sin(x / 5 + y / 9)[..., None], 3, axis=2)


def grainy(seed: int, amount: float = 0.05) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=source().shape).astype(np.float32)
    return source() + np.float32(amount) * noise


def test_a_frame_follows_the_previous_one_and_is_as_strong_as_it_was_rendered() -> None:
    before, rendered = grainy(1), grainy(2)
    led = FrameBefore(source(), before, source()).lead_to(rendered, Grain())
    assert np.abs(led - before).mean() < 0.5 * np.abs(rendered - before).mean()
    assert strength_of(led, source()) == pytest.approx(strength_of(rendered, source()), rel=0.02)


def test_an_effect_that_keeps_its_strength_is_scaled_to_the_previous_frame() -> None:
    before, rendered = grainy(1), grainy(2, amount=0.03)
    effect = Grain(continues=True, keeps=True)
    led = FrameBefore(source(), before, source()).lead_to(rendered, effect)
    assert strength_of(led, source()) == pytest.approx(strength_of(before, source()), rel=0.1)


def test_what_an_effect_makes_of_the_previous_frame_itself_is_left_alone() -> None:
    before = FrameBefore(source(), grainy(1), source())
    assert np.array_equal(before.lead_to(grainy(2), Grain(continues=True)), grainy(2))


def test_memory_that_runs_out_in_the_flow_fails_the_frame_as_one_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = str(tmp_path / "still.png")
    write_still(still, Frame(source()), {})
    work = Render(before=Before(still, None, still))
    film = FilmOptions(coherence="flow")
    order = Order(Unit("job", "b", still, "b.png"), 1, "token", "grain", {}, Plan(), film=film)
    renderer = Renderer(ContextFactory(Registry(), "cpu"))
    monkeypatch.setattr(cv2, "DISOpticalFlow", NoMemory)
    with pytest.raises(DeviceMemory, match="this machine"):
        renderer.run(order, work, Grain(), {}, report=lambda *_: None, is_cancelled=lambda: False)


def test_picture_and_source_are_warped_alike() -> None:
    moved = np.roll(source(), 3, axis=1)
    before = FrameBefore(source(), source() + np.float32(0.1), moved).previous("cpu", Plan())
    change = (before.image - before.source)[..., 8:-8, 8:-8]
    assert float(change.min()) == pytest.approx(0.1, abs=1e-3)
    assert float(change.max()) == pytest.approx(0.1, abs=1e-3)


class Fading(Effect):
    """Adds grain that is drawn once and carried on. amount: its standard deviation."""

    class Params(TimedParams):
        amount: OverTime[float] = 0.02

    name = "fading"
    continues_previous = keeps_strength = True
    params: Params

    def render(self, image: Any, context: Context) -> Any:
        if context.previous:
            return context.previous.image
        grain = torch.randn(image.shape, generator=context.generator())
        return image + self.params.amount * grain


class Following(Effect):
    """Adds grain that is drawn once and carried on, as strong as the picture is bright."""

    name = "following"
    Params = TaskParams
    continues_previous = keeps_strength = True

    def render(self, image: Any, context: Context) -> Any:
        if context.previous:
            return image + context.previous.image - context.previous.source
        grain = torch.randn(image.shape, generator=context.generator())
        return image + 0.1 * image.mean() * grain


class Rising(Following):
    """Adds grain that is drawn once and carried on, the stronger the later."""

    name = "rising"

    def render(self, image: Any, context: Context) -> Any:
        if context.previous:
            return image + context.previous.image - context.previous.source
        grain = torch.randn(image.shape, generator=context.generator())
        return image + 0.03 * (1 + context.seconds * 25 / 16 + context.number / 16) / 2 * grain


def orders(
    effect: Effect,
    stills: Sequence[str],
    folder: Path,
    missing: Collection[str] = (),
    coherence: Literal["none", "flow"] = "flow",
) -> Iterator[Order]:
    """Yield the orders of a film of these stills, without those of the missing ones."""
    frames = [FilmFrame(still, n + 1, n, 1, n / 25) for n, still in enumerate(stills)]
    clip = FrameSequence("clip", frames, str(folder / "%05d.png"), str(folder))
    film, lacking = FilmOptions(coherence=coherence), set[str]()
    for unit in plan_units("job", Footage(sequences=[clip]), film):
        if not isinstance(unit.work, Render):
            continue
        if unit.source in missing:
            lacking.add(unit.name)
            continue
        gone = tuple(lacking.intersection(unit.needs))
        yield Order(unit, 1, "token", effect.name, {}, Plan(), film=film, missing=gone)


def rendered(effect: Effect, orders: Iterable[Order]) -> Iterator[tuple[Unit, Figures]]:
    renderer = Renderer(ContextFactory(Registry(), "cpu"))
    for order in orders:
        assert isinstance(order.unit.work, Render)
        yield (
            order.unit,
            renderer.run(
                order,
                order.unit.work,
                effect,
                {},
                report=lambda *_: None,
                is_cancelled=lambda: False,
            ),
        )


def coherent_strengths(
    effect: Effect, stills: Sequence[str], folder: Path, missing: Collection[str] = ()
) -> list[float]:
    """Render a coherent film of these stills and return the strength of each frame but those of the missing stills."""
    return strengths_of(effect, orders(effect, stills, folder, missing))


def strengths_of(effect: Effect, orders: Iterable[Order]) -> list[float]:
    units = (unit for unit, _ in rendered(effect, orders))
    return [
        strength_of(read_still(unit.target).pixels, read_still(unit.source).pixels)[-1]
        for unit in units
    ]


def brightening(folder: Path, count: int = 17) -> list[str]:
    """Write pictures that become twice as bright."""
    stills = [str(folder / f"source{n}.png") for n in range(count)]
    for still, light in zip(stills, np.linspace(0.7, 1.4, count, dtype=np.float32), strict=True):
        write_still(still, Frame(light * source(), depth=16), {})
    return stills


def test_a_coherent_film_is_as_strong_as_its_single_frames_when_the_scene_changes(
    tmp_path: Path,
) -> None:
    strengths = coherent_strengths(Following(TaskParams()), brightening(tmp_path), tmp_path)
    wanted = strengths[0] * np.linspace(1, 2, 17)
    assert strengths == pytest.approx(list(wanted), rel=0.05)


def test_a_coherent_film_is_as_strong_as_its_single_frames_when_the_effect_looks_at_the_time(
    tmp_path: Path,
) -> None:
    still = str(tmp_path / "still.png")
    write_still(still, Frame(source(), depth=16), {})
    strengths = coherent_strengths(Rising(TaskParams()), [still] * 17, tmp_path)
    wanted = strengths[0] * np.linspace(1, 3, 17)
    assert strengths == pytest.approx(list(wanted), rel=0.05)


class Chancy(Following):
    """Adds grain that is drawn once and carried on, as strong as chance has it."""

    name = "chancy"

    def render(self, image: Any, context: Context) -> Any:
        if context.previous:
            return image + context.previous.image - context.previous.source
        generator = context.generator()
        amount = 0.02 + 0.08 * torch.rand(1, generator=generator)
        return image + amount * torch.randn(image.shape, generator=generator)


def test_frames_that_were_looked_at_are_as_strong_as_by_themselves(
    tmp_path: Path,
) -> None:
    still = str(tmp_path / "still.png")
    write_still(still, Frame(source(), depth=16), {})
    effect = Chancy(TaskParams())
    coherent = coherent_strengths(effect, [still] * 17, tmp_path / "coherent")
    alone = strengths_of(effect, orders(effect, [still] * 17, tmp_path / "alone", coherence="none"))
    assert coherent[LOOK_AHEAD::LOOK_AHEAD] == pytest.approx(
        alone[LOOK_AHEAD::LOOK_AHEAD], rel=0.01
    )
    assert max(alone) > 1.5 * min(alone)


def test_a_frame_that_looked_ahead_keeps_its_own_seed(tmp_path: Path) -> None:
    still = str(tmp_path / "still.png")
    write_still(still, Frame(source(), depth=16), {})
    effect = Chancy(TaskParams())
    first = strengths_of(effect, islice(orders(effect, [still] * 9, tmp_path / "first"), 1))
    assert first == strengths_of(effect, orders(effect, [still], tmp_path / "only"))


class Reporting(Following):
    """As following, and tells how far it is: at once, after a tile and at the end."""

    name = "reporting"

    def render(self, image: Any, context: Context) -> Any:
        context.progress(0.2)
        context.apply(torch.nn.Identity(), image, until=0.6)
        context.progress(1.0)
        return super().render(image, context)


def test_the_progress_of_a_frame_that_looks_ahead_goes_from_0_to_1_once(tmp_path: Path) -> None:
    effect, reported = Reporting(TaskParams()), list[float]()
    (order,) = islice(orders(effect, brightening(tmp_path), tmp_path), 1)
    work = order.unit.work
    assert isinstance(work, Render)
    assert work.ahead
    Renderer(ContextFactory(Registry(), "cpu")).run(
        order,
        work,
        effect,
        {},
        report=lambda done, *_: reported.append(done),
        is_cancelled=lambda: False,
    )
    assert reported == sorted(reported)
    assert {0.1, 0.5, 0.6, 1.0} <= set(reported)
    assert reported[-1] == 1.0


def test_a_frame_tells_which_file_it_looked_at_also_if_that_could_not_be_read(
    tmp_path: Path,
) -> None:
    stills, effect = brightening(tmp_path), Following(TaskParams())

    def looked_at() -> list[str | None]:
        first = islice(orders(effect, stills, tmp_path), 2)
        return [figures.ahead_sha256 for _, figures in rendered(effect, first)]

    def digest() -> str:
        return hashlib.sha256(Path(stills[LOOK_AHEAD]).read_bytes()).hexdigest()

    assert looked_at() == [digest(), None]
    Path(stills[LOOK_AHEAD]).write_bytes(b"no picture")
    assert looked_at() == [digest(), None]
    Path(stills[LOOK_AHEAD]).unlink()
    assert looked_at() == ["", None]


def test_a_later_frame_that_cannot_be_read_leaves_those_before_it_as_strong_as_they_are(
    tmp_path: Path,
) -> None:
    stills = brightening(tmp_path)
    Path(stills[LOOK_AHEAD]).write_bytes(b"no picture")
    strengths = coherent_strengths(
        Following(TaskParams()), stills, tmp_path, missing=[stills[LOOK_AHEAD]]
    )
    before = strengths[:LOOK_AHEAD]
    assert before == pytest.approx([strengths[0]] * LOOK_AHEAD, rel=0.05)


def test_a_coherent_film_becomes_as_strong_as_parameters_that_change_over_time_ask_for(
    tmp_path: Path,
) -> None:
    still = str(tmp_path / "still.png")
    write_still(still, Frame(source(), depth=16), {})
    effect = Fading(Fading.Params(at=("f1 amount=0.02", "f17 amount=0.06")))
    strengths = coherent_strengths(effect, [still] * 27, tmp_path)
    wanted = strengths[0] * np.interp(range(27), [0, 16], [1, 3])
    assert strengths == pytest.approx(list(wanted), rel=0.05)
