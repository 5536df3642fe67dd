"""The weights of red and blue in luma, by the matrix code of a film."""

from typing import Final

__all__ = ["MATRICES", "default_matrix"]

MATRICES: Final = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Kr and Kb of ITU-T H.273, table 4, by matrix_coefficients. Kg is 1 - Kr - Kb."""

_BT709: Final = 1
_BT601: Final = 6
_HD_HEIGHT: Final = 720


def default_matrix(height: int) -> int:
    """Return the matrix for a film that specifies none: BT.709 from 720 rows up, else BT.601."""
    return _BT709 if height >= _HD_HEIGHT else _BT601
