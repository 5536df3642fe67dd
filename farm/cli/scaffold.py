"""``farm new-plugin``: write a working effect in one file, to start from."""

from pathlib import Path
from typing import Final

import click

from farm.cli.root import registry_of
from farm.errors import BadOutput, UserError
from farm.host.vetting import COMMANDS, NAME

_FOLDER: Final = Path("plugins")
"""A folder of its own, because every .py file in a plugins folder is loaded."""

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


@click.command("new-plugin")
@click.argument("name")
@click.pass_context
def new_plugin(context: click.Context, name: str) -> None:
    """Write plugins/NAME.py, a working effect to start from."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is not a valid task name; use 1 to 32 lower-case letters, digits and dashes, "
            "starting with a letter"
        )
    if name in COMMANDS or name in registry_of(context).tasks:
        raise UserError(f"`farm {name}` already exists; choose another name")
    path = _FOLDER / f"{name.replace('-', '_')}.py"
    if path.exists():
        raise BadOutput(str(path), "it already exists; choose another name or remove it")
    title = name.title().replace("-", "")
    _FOLDER.mkdir(exist_ok=True)
    path.write_text(TEMPLATE.format(name=name, title=title), encoding="utf-8")
    click.echo(f"wrote {path}; try: farm --plugins-dir {_FOLDER} {name} PICTURE -o OUTPUT")
