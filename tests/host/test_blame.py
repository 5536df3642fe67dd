"""An error of a plugin is one line in plain words, with the line of the author's own code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel, Field

from farm.host.blame import describe

LINES = """
def inner(call):
    return call()

def render(call):
    return inner(call)
"""


def author(module: str, path: str) -> Callable[..., Any]:
    """Return a function of an author's module that calls what it is given, by a helper on line 3."""
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(LINES, path, "exec"), namespace)  # noqa: S102 - a module of an author
    render: Callable[..., Any] = namespace["render"]
    return render


def message(render: Callable[..., Any], call: Callable[[], object]) -> str:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any error
        render(call)
    error = raised.value
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # from the call on
    return describe(error)


def refused() -> object:
    class Params(BaseModel):
        amount: float = Field(le=1)

    return Params(amount=7)


def mismatched() -> object:
    return torch.nn.functional.conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 3, 3))


def outside(call: Callable[[], object]) -> Callable[[], object]:
    """Return a function that seems to belong to a library."""
    namespace: dict[str, Any] = {"__name__": "library.part", "call": call}
    exec("def wrapped():\n    return call()", namespace)  # noqa: S102 - a module of a library
    wrapped: Callable[[], object] = namespace["wrapped"]
    return wrapped


@pytest.mark.parametrize("call", [refused, mismatched, lambda: {}["a"]])
def test_the_line_is_the_authors_however_deep_the_error_is(call: Callable[[], object]) -> None:
    render = author("glow", "/home/ada/plugins/glow.py")
    assert message(render, outside(call)).endswith(" (glow.py, line 3)")


def test_a_module_of_a_package_is_named_with_its_package() -> None:
    render = author("bloom.parts.light", "/site/bloom/parts/light.py")
    text = message(render, outside(mismatched))
    assert text.endswith(" (bloom/parts/light.py, line 3)")
    render = author("bloom", "/site/bloom/__init__.py")
    assert message(render, outside(mismatched)).endswith(" (bloom/__init__.py, line 3)")


def test_what_pydantic_refuses_is_said_in_the_farms_words() -> None:
    render = author("glow", "glow.py")
    assert message(render, outside(refused)) == (
        "ValidationError: amount: should be less than or equal to 1, not 7 (glow.py, line 3)"
    )


def test_an_error_without_a_line_of_the_author_has_none() -> None:
    error = TypeError("render() takes 2 positional arguments but 3 were given")
    assert describe(error) == f"TypeError: {error}"


def test_a_syntax_error_names_its_line_once(tmp_path: Path) -> None:
    path = tmp_path / "half.py"
    render = author("importer", "importer.py")
    text = message(render, lambda: compile("class Half(", str(path), "exec"))
    assert text == "SyntaxError: '(' was never closed (half.py, line 1)"
