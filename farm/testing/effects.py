"""Checks of an effect: what the farm relies on, and refuses or cannot repair while it renders."""

import json
import pickle
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from farm.errors import Cancelled, PluginError
from farm.host.named_files import NAMES_MASK, named_files
from farm.host.schedule import at_start
from farm.host.schedule_stages import stages
from farm.host.task import Effect, TaskParams
from farm.host.vetting import task_fault, validate_params
from farm.model.specs import NetworkSpec, Previous
from farm.testing.context import FakeContext, Networks
from farm.testing.global_random import seeded_globals

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_effect"]

SIZES: Final = ((48, 64), (37, 53))
"""Heights and widths of the test pictures; the second has odd sides."""

LONG_SIDE: Final = 64
"""Of the test picture that has the shape of a mask."""

OF_ONE: Final = {"file", "network", "note"}
"""Names that an author may well use, though files, networks and notes are the farm's."""


def check_effect(
    effect: type[Effect],
    params: TaskParams | None = None,
    *,
    networks: Iterable[NetworkSpec] = (),
    pictures: "Mapping[str, Tensor] | None" = None,
    sizes: Sequence[tuple[int, int]] | None = None,
) -> None:
    """Assert what the farm relies on.

    The farm accepts the class, and no name in it is nearly one of the contract's. Its parameters
    have descriptions and a schema, and survive JSON and pickle. check passes. render returns a
    picture of finite pixels, does not change its input, and gives the frames of a film one size,
    which need not be the source's. It depends on the picture, the parameters and context.seed, and on
    no global random generator, nor on what was rendered before. It stops when context.progress raises
    Cancelled. Raises AssertionError that names what failed.

    params: the defaults, unless given. networks: that are not installed, for an effect that uses
    them. pictures: that parameters name and that are no files, by path: [1, 3, height, width] in 0..1.
    sizes: heights and widths of the pictures to render, for a network that needs larger ones; else
    they are small, and of the shape of the mask if there is one.
    """
    fault = task_fault(effect)
    assert not fault, fault
    _check_names(effect)
    params = validate_params(effect, {}) if params is None else params
    _check_params(effect, params)
    checked = _Checked(effect, params, Networks(networks), pictures or {})
    for stage in stages(params):
        task = effect(stage)
        task.check(checked.context())
        notes = task.notes(checked.context())
        assert all(isinstance(note, str) for note in notes), "notes are texts"
    sizes = sizes or checked.sizes()
    for height, width in sizes:
        image = _picture(height, width)
        checked.check_pixels(image)
        checked.check_film(image)
        checked.check_seed(image)
        checked.check_repeats(image)
    checked.check_stops(_picture(*sizes[0]))


def _check_names(effect: type[Effect]) -> None:
    """Assert that the class has no name that is probably a misspelt one of the farm's."""
    known = {name for name in dir(Effect) if not name.startswith("_")}
    own = {name for kind in effect.__mro__ if not issubclass(Effect, kind) for name in vars(kind)}
    for name in sorted(own - known - OF_ONE):
        close = get_close_matches(name, known, n=1, cutoff=0.8)
        assert name.startswith("_") or not close, (
            f"{effect.__name__}.{name} means nothing to the farm; did you mean {close[0]}? "
            "If it is your own, give it another name"
        )


def _check_params(effect: type[Effect], params: TaskParams) -> None:
    json.dumps(effect.Params.model_json_schema())
    fields = effect.Params.model_fields.items()
    undescribed = [name for name, field in fields if not field.description]
    assert not undescribed, f"parameters without a description: {', '.join(undescribed)}"
    content = json.loads(params.model_dump_json())
    assert effect.Params.model_validate(content) == params, "parameters do not survive JSON"
    assert pickle.loads(pickle.dumps(params)) == params, "parameters do not survive pickle"  # noqa: S301


class _Checked:
    """An effect, its parameters, and the networks and pictures that its contexts share."""

    def __init__(
        self,
        effect: type[Effect],
        params: TaskParams,
        networks: Networks,
        pictures: "Mapping[str, Tensor]",
    ) -> None:
        self._effect, self._params = effect, params
        self._networks, self._pictures = networks, pictures

    def sizes(self) -> Sequence[tuple[int, int]]:
        """Return sizes of pictures that the farm would accept: a mask has the shape of the picture."""
        mask = next(named_files(self._params, NAMES_MASK), None)
        if mask is None:
            return SIZES
        height, width = self.context().read(mask).shape[2:]
        scale = LONG_SIDE / max(height, width)
        return [(max(1, round(height * scale)), max(1, round(width * scale)))]

    def task(self) -> Effect:
        """Return the effect, as for the first frame if its parameters change over time."""
        return self._effect(at_start(self._params))

    def context(
        self,
        seed: int = 7,
        *,
        number: int = 0,
        previous: Previous | None = None,
        stop_at: float | None = None,
    ) -> FakeContext:
        return FakeContext(
            seed=seed,
            number=number,
            previous=previous,
            stop_at=stop_at,
            networks=self._networks,
            pictures=self._pictures,
        )

    def render(self, image: "Tensor", context: FakeContext, task: Effect | None = None) -> "Tensor":
        """Return what the farm would write. Asserts that it is a picture, as the farm does.

        task: the instance that renders; a new one unless given.
        """
        from farm.engine.rendered import check_rendered

        try:
            return check_rendered(self._effect.name, (task or self.task()).render(image, context))
        except PluginError as error:
            raise AssertionError(f"render {error.reason}") from error

    def check_pixels(self, image: "Tensor") -> None:
        before = image.clone()
        self.render(image, self.context())
        assert bool((image == before).all()), "render changed its input; clone it first"

    def check_film(self, image: "Tensor") -> None:
        """Render two frames of a film, the second with all that a coherent one is given."""
        first = self.render(image.clone(), self.context())
        previous = Previous(first, image.new_ones(1, 1, *image.shape[2:]), first, image, image)
        context = self.context(8, number=1, previous=previous)
        second = self.render(image.flip(3).clone(), context)
        assert second.shape == first.shape, (
            f"render returned {_size(first)} for one frame of {_size(image)} and {_size(second)} for "
            "another; a film needs frames of one size, so let it follow from the source's alone"
        )

    def check_seed(self, image: "Tensor") -> None:
        with seeded_globals(1) as one:
            first = self.render(image.clone(), self.context())
        with seeded_globals(2) as two:
            second = self.render(image.clone(), self.context())
        used, fixed = ", ".join(one.used), ", ".join(one.fixed(two))
        assert not fixed, (
            f"render seeds {fixed}, which other frames may use meanwhile; use context.generator()"
        )
        difference = float((first - second).abs().max())
        assert difference == 0 or not used, (
            f"render depends on {used}: under another global seed, pixels differ by up to "
            f"{difference:g}; use context.generator()"
        )
        assert difference == 0, (
            f"the same seed gave different pixels, by up to {difference:g}; render may depend on the "
            "picture, the parameters and context.seed only"
        )

    def check_repeats(self, image: "Tensor") -> None:
        """Render a frame twice with one instance, as a worker does that tries it again."""
        task = self.task()
        first = self.render(image.clone(), self.context(), task).clone()
        second = self.render(image.clone(), self.context(), task)
        assert first.equal(second), (
            "render gave other pixels when the same instance rendered the same frame again; keep "
            "nothing on self from frame to frame"
        )

    def check_stops(self, image: "Tensor") -> None:
        context = self.context(stop_at=0.0)
        try:
            self.task().render(image, context)
        except Cancelled:
            return
        assert not context.reported, (
            "render continued after context.progress raised Cancelled; let the exception through"
        )


def _size(image: "Tensor") -> str:
    return f"{image.shape[3]}x{image.shape[2]}"


def _picture(height: int, width: int) -> "Tensor":
    """Return a picture with smooth and detailed areas: [1, 3, height, width]."""
    import torch

    rows = torch.linspace(0, 1, height)[:, None].expand(height, width)
    columns = torch.linspace(0, 1, width)[None].expand(height, width)
    busy = (rows * 40).sin() * (columns * 30).cos() * 0.5 + 0.5
    return torch.stack((rows, columns, busy))[None].clone()
