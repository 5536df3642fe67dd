"""Which part of luma red and blue are, by the code that a film carries."""

from typing import Final

__all__ = ["MATRICES", "presumed_matrix"]

MATRICES: Final = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Kr and Kb of ITU-T H.273, table 4, by matrix_coefficients. Kg is what is left of 1."""

_BT709: Final = 1
_BT601: Final = 6
_LINES_OF_HD: Final = 720


def presumed_matrix(lines: int) -> int:
    """Return the matrix of a film that names none: BT.709 from 720 lines on, else BT.601."""
    return _BT709 if lines >= _LINES_OF_HD else _BT601
