"""Files that parameters name are found wherever they are in Params."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from farm import Context, Effect, Field, FilePath, NetworkParams, TaskParams

if TYPE_CHECKING:
    from torch import Tensor


class Layer(BaseModel):
    texture: FilePath
    opacity: float = 1.0


Alias = FilePath | None


class Params(TaskParams):
    one: FilePath = Field("/one")
    maybe: FilePath | None = None
    several: tuple[FilePath, ...] = ()
    pair: tuple[str, FilePath] = ("/not", "/pair")
    by_name: dict[str, FilePath] = {}  # noqa: RUF012 - pydantic copies it
    layers: tuple[Layer, ...] = ()
    alias: Alias = None
    keyword: Literal["none"] | FilePath = "none"
    text: str = "/not/a/file"


class Collage(Effect):
    """A collage."""

    name = "collage"
    Params = Params

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        return image


def test_every_file_is_found() -> None:
    params = Params(
        one="/1",
        maybe="/2",
        several=("/3", "/4"),
        pair=("/not", "/5"),
        by_name={"/not": "/6"},
        layers=(Layer(texture="/7"), Layer(texture="/8")),
        alias="/9",
        keyword="/10",
    )
    assert Collage(params).files() == {f"/{n}": f"/{n}" for n in range(1, 11)}


def test_what_is_not_given_names_no_file() -> None:
    assert [*Collage(Params()).files()] == ["/one", "/pair"]


def test_a_relative_path_is_found_where_it_is() -> None:
    assert Collage(Params(one="guide.jpg")).params.one == str(Path.cwd() / "guide.jpg")


def test_a_network_counts_unless_other_weights_are_given() -> None:
    class Look(Collage):
        Params = NetworkParams

    assert Look(NetworkParams()).networks == ("starter",)
    assert Look(NetworkParams(weights="/w.pth")).networks == ()
    assert [*Look(NetworkParams(weights="/w.pth")).files()] == ["/w.pth"]
    assert Collage(Params()).networks == ()
