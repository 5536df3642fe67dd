"""Continues a coherent film: carries one frame's picture to the next, and holds its strength."""

from functools import cached_property, partial
from typing import Final

import cv2
import numpy as np

from farm.engine.context import to_mask, to_tensor
from farm.execution.aim import Aim
from farm.host.task import Effect
from farm.media.flow import Motion, Pixels, motion, no_motion
from farm.media.strength import hold, strength_of
from farm.model.job import Plan
from farm.model.specs import Previous

_SHARE: Final = 0.8
"""Of the previous frame in the next, for effects that do not continue it themselves."""


class FrameBefore:
    """The frame before another one in a coherent film: its source and its rendered picture.

    current: the source of the frame that follows. All are [height, width, 3] in 0..1; rendered may have
    a size of its own. has_flow: whether to follow the motion between the frames. aim: the strength that the
    following frames go towards; None if they keep that of this one.
    """

    def __init__(
        self,
        source: Pixels,
        rendered: Pixels,
        current: Pixels,
        *,
        has_flow: bool = True,
        aim: Aim | None = None,
    ) -> None:
        self.aim = aim
        self._source, self._rendered, self._current = source, rendered, current
        self._has_flow = has_flow

    @cached_property
    def _motion(self) -> Motion:
        if not self._has_flow:
            return no_motion(*self._current.shape[:2])
        return motion(self._source, self._current)

    @cached_property
    def _carried(self) -> Pixels:
        return self._carry(self._rendered)

    def _carry(self, picture: Pixels) -> Pixels:
        return self._motion.carry(picture) if self._has_flow else picture

    def previous(self, device: str, plan: Plan) -> Previous:
        """Return what the effect continues from."""
        tensor = partial(to_tensor, device=device, plan=plan)
        return Previous(
            tensor(self._carried),
            to_mask(self._motion.trust, device, plan),
            unwarped=tensor(self._rendered),
            unwarped_source=tensor(self._source),
            source=tensor(self._carry(self._source)),
        )

    def lead_to(self, rendered: Pixels, effect: Effect) -> Pixels:
        """Return the picture rendered for the current frame, made to follow this one.

        Without flow, the effect alone decides how it does.
        """
        if not self._has_flow:
            return rendered
        if not effect.continues_previous:
            mixed = self._mixed_into(rendered)
            return hold(mixed, self._current, strength_of(rendered, self._current))
        if effect.keeps_strength:
            strength = strength_of(self._rendered, self._source)
            return hold(rendered, self._current, self.aim.step(strength) if self.aim else strength)
        return rendered

    def _mixed_into(self, rendered: Pixels) -> Pixels:
        """Return the picture with the previous one blended in where the motion is trusted."""
        height, width = rendered.shape[:2]
        trust = cv2.resize(self._motion.trust, (width, height))[..., None]
        before = cv2.resize(self._carried, (width, height))
        return np.asarray(rendered + _SHARE * trust * (before - rendered))
