"""``farm demo``: draw a sky, dream it at a few layers, and list the pictures."""

from pathlib import Path
from typing import Final

import click

from farm.cli.exits import Exit
from farm.cli.repeated import Command
from farm.cli.root import registry_of
from farm.cli.streams import echo
from farm.cli.task_command import COMMAND, task_command
from farm.errors import BadOutput

FOLDER: Final = Path("demo")
LAYERS: Final = ("inception3b", "inception4c", "inception4e")
"""From shallow to deep: textures first, then objects."""


@click.command(cls=Command)
@click.pass_context
def demo(context: click.Context) -> int:
    """Draw a sky, dream it, and list the pictures."""
    command = task_command(registry_of(context).task("dream"))
    sky = _draw(FOLDER / "sky.png")
    pictures = [sky]
    for layer in LAYERS:
        picture = FOLDER / f"dream-{layer}.png"
        words = [str(sky), "--output", str(picture), "--layer", layer, "--overwrite"]
        context.meta[COMMAND] = ["farm", "dream", *words]
        with command.make_context("dream", words, parent=context.find_root()) as dream:
            code = command.invoke(dream)
        if code != Exit.DONE:
            return int(code)
        pictures.append(picture)
    echo("The pictures are:")
    for picture in pictures:
        echo(f"  {picture}")
    return Exit.DONE


def _draw(path: Path) -> Path:
    from farm.cli.sky import draw_sky
    from farm.media import Frame, write_still

    try:
        write_still(
            str(path), Frame(pixels=draw_sky(), alpha=None, depth=8), {"drawn": "farm demo"}
        )
    except BadOutput as error:
        reason = error.reason.partition(";")[0]
        advice = "change to a folder that you can write to"
        raise BadOutput(str(path), f"{reason}; {advice}") from error
    return path
