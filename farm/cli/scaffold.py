"""``farm new-plugin``: write a working effect in one file, to start from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from farm.cli.repeated import Command
from farm.cli.root import plugins_dir_of, registry_of
from farm.cli.streams import echo
from farm.errors import BadOutput, UserError
from farm.host.vetting import COMMANDS, NAME

_FOLDER: Final = Path("plugins")
"""Where plugins go unless the user has named a folder: one of their own, as every .py file in it is loaded."""

TEMPLATE: Final = '''\
from farm import Effect, Field, TaskParams, hookimpl

class {title}(Effect):
    """Photographic negative."""
    name = "{name}"
    class Params(TaskParams):
        amount: float = Field(1.0, ge=0, le=1, description="0 keeps the picture, 1 inverts it.")
    def render(self, image, context):
        return image.lerp(1 - image, self.params.amount)

@hookimpl
def farm_tasks():
    return [{title}]
'''


@click.command("new-plugin", cls=Command)
@click.argument("name")
@click.pass_context
def new_plugin(context: click.Context, name: str) -> None:
    """Write NAME.py, a working effect to start from: it inverts pictures.

    It goes into the folder of --plugins-dir or FARM_PLUGINS_DIR, or into plugins/.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is not a valid task name; use 1 to 32 lower-case letters, digits and dashes, "
            "starting with a letter"
        )
    if name in COMMANDS or name in registry_of(context).tasks:
        raise UserError(f"`farm {name}` already exists; choose another name")
    folder = plugins_dir_of(context) or _FOLDER
    path = folder / f"{name.replace('-', '_')}.py"
    title = name.title().replace("-", "")
    _write(path, TEMPLATE.format(name=name, title=title))
    echo(
        f"wrote {path}, a template that inverts the picture; "
        f"try: farm --plugins-dir {folder} {name} PICTURE -o OUTPUT"
    )


def _write(path: Path, text: str) -> None:
    """Write a new file, and its folder. Raises BadOutput, and leaves no part of the file."""
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8") as file, _removed_on_error(path):
            file.write(text)
            file.flush()
    except FileExistsError:
        fault = "it already exists" if path.parent.is_dir() else f"{path.parent} is a file"
        raise BadOutput(str(path), f"{fault}; choose another name or remove it") from None
    except OSError as error:
        reason = (
            f"{(error.strerror or str(error)).lower()}; change to a folder that you can write to"
        )
        raise BadOutput(str(path), reason) from error


@contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise
