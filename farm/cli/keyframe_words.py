"""The words of ``--at``, of which a command takes a whole keyframe as one value."""

import os
import re
import shlex
from collections.abc import Sequence
from typing import Final

from farm.errors import BadInput
from farm.host.flags import flag_of
from farm.host.keyframes import is_keyframe, joined, one_each
from farm.host.over_time import TimedParams, blend_of, changing, mixture, numbers
from farm.host.task import Task

__all__ = ["with_keyframes_joined"]

_NAME: Final = re.compile(r"[^-/:%#*?\[][^/:%#*?\[]*")
"""No flag, no location in a folder or on a farm, and no pattern."""
_NUMBER: Final = re.compile(r"-?[0-9.]+")


def with_keyframes_joined(task: type[Task], words: Sequence[str]) -> list[str]:
    """Return a command's words, in which ``--at 10 step=2 layer=conv3`` has one value instead of three.

    Raises BadInput if the input after a keyframe is not there, and would do as one more of its values.
    """
    if not issubclass(task.Params, TimedParams):
        return [*words]
    flag = flag_of("at", task.Params.model_fields["at"])
    given = [*joined(words, flag)]
    for before, word, following in zip(["", *given], given, given[1:], strict=False):
        is_value = before == flag or word.startswith(f"{flag}=")
        keyframe = word.removeprefix(f"{flag}=")
        if is_value and is_keyframe(keyframe) and not os.path.lexists(following):
            _check_is_no_value(task.Params, keyframe, following)
    return given


def _check_is_no_value(params: type[TimedParams], keyframe: str, word: str) -> None:
    """Raise BadInput if the last parameter of a keyframe could have this word as its next value."""
    from farm.media.film import is_film_name

    try:
        name, _, value = shlex.split(keyframe)[-1].partition("=")
    except ValueError:  # a quote is not closed; the parameter says so
        return
    fields = changing(params)
    flags = {flag_of(key, field).removeprefix("--"): field for key, field in fields.items()}
    field = (fields | flags).get(name)
    blend, value = blend_of(field) if field else None, value.rstrip(",")
    if blend is mixture and _NAME.fullmatch(word) and not is_film_name(word):
        form = one_each(name, (value, word))
    elif blend is numbers and _NUMBER.fullmatch(word):
        form = f"a pair of numbers has a comma and no space: {name}={value},{word}"
    else:
        return
    raise BadInput(word, f"no such file or folder; {form}")
