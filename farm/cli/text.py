"""Make text from outside safe to show: file names, messages of plugins, records in pictures."""

import os
import re
import shlex
from typing import Final

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, changes of the writing direction, and lone surrogates."""


def plain(text: str) -> str:
    r"""Return the text as one line that a terminal shows as it is.

    Characters that could move the cursor, change colours or hide text become escapes: \x1b. Bytes
    of a file name that is not UTF-8 become \xe9.
    """
    return _UNSAFE.sub(lambda match: _escaped(match[0]), text)


def one_word(text: str) -> str:
    """Return the text as one word of a shell command that can be copied from a terminal."""
    if plain(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(map(_in_ansi_quotes, text)) + "'"


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _in_ansi_quotes(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if plain(character) == character:
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
