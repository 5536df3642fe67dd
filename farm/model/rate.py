"""Frame rates as exact fractions, as people write them: ``25``, ``29.97``, ``24000/1001``."""

import re
from fractions import Fraction
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer

__all__ = ["DEFAULT_RATE", "Rate", "parse_rate"]

DEFAULT_RATE: Final = Fraction(25)

_MAX: Final = 1000
_MAX_DENOMINATOR: Final = 10**6
_RATE: Final = re.compile(r"[0-9]{1,9}/[0-9]{1,9}|[0-9]{1,9}(?:\.(?P<decimals>[0-9]{0,20}))?")
_NTSC: Final = (15, 24, 30, 48, 60, 90, 96, 120, 240)
"""Rates that television divides by 1.001."""


def parse_rate(given: object) -> Fraction:
    """Return a frame rate. Raises ValueError if it is not above 0 and at most 1000.

    A rounded NTSC rate, such as 23.976 or 29.97, becomes the exact one (24000/1001, 30000/1001).
    """
    text = str(given).strip()
    match = _RATE.fullmatch(text)
    try:
        rate = Fraction(text if match else 0).limit_denominator(_MAX_DENOMINATOR)
    except ZeroDivisionError:
        rate = Fraction(0)
    if match is None or not 0 < rate <= _MAX:
        example = "give a number above 0 and at most 1000, such as 25, 29.97 or 24000/1001"
        raise ValueError(f"{text[:40]!r} is not a frame rate; {example}")
    return _ntsc(rate, len(match["decimals"] or "")) or rate


def _ntsc(rate: Fraction, decimals: int) -> Fraction | None:
    """Return the NTSC rate that a number with at least two decimals is rounded from, if any."""
    exact = (Fraction(whole * 1000, 1001) for whole in _NTSC)
    fits = (ntsc for ntsc in exact if decimals >= 2 and round(ntsc, decimals) == rate)
    return next(fits, None)


def _optional(given: object) -> Fraction | None:
    return None if given is None else parse_rate(given)


def _plain(rate: Fraction | None) -> float | str | None:
    """Return a number if it stands for the rate exactly, else the fraction as text."""
    if rate is None:
        return None
    is_short = 1000 % rate.denominator == 0 and parse_rate(float(rate)) == rate
    return float(rate) if is_short else str(rate)


Rate = Annotated[
    Fraction | None, BeforeValidator(_optional), PlainSerializer(_plain, when_used="json")
]
"""A frame rate that is exact in Python and in JSON; None if none is given."""
