"""The part of a source that a film covers, and the time that becomes 0 in it."""

from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer

from farm.media.film.decoding import origin_of

__all__ = ["Window"]


@dataclass(frozen=True)
class Window:
    """The seconds of the source to take; begin becomes time 0. Takes everything unless is_cut."""

    begin: Fraction
    end: Fraction | None
    is_cut: bool

    @classmethod
    def of(cls, source: InputContainer, span: tuple[float, float] | None) -> "Window":
        """Return the window of a span in seconds, counted from the film's start; None for all."""
        origin = origin_of(source)
        if span is None:
            return cls(origin, None, is_cut=False)
        first, last = (Fraction(seconds).limit_denominator(10**7) for seconds in span)
        return cls(origin + first, origin + last, is_cut=True)

    def contains(self, time: Fraction) -> bool:
        return not self.is_cut or (self.begin <= time and (self.end is None or time < self.end))

    def shift(self, unit: Fraction) -> int:
        return round(self.begin / unit)

    def cut(self, begin: Fraction, end: Fraction) -> tuple[Fraction, Fraction]:
        """Return what is left of a stretch of time, shifted; empty if it is outside the window."""
        if self.is_cut:
            begin = max(begin, self.begin)
            end = end if self.end is None else min(end, self.end)
        return max(begin - self.begin, Fraction(0)), end - self.begin
