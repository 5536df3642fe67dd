"""``farm evaluate``: measure how good a run's pictures are, compared with its data."""

from typing import TYPE_CHECKING, Final

import click

from farm.cli.job_options import Whole
from farm.cli.listings import AS_JSON
from farm.cli.location import Location
from farm.cli.repeated import Command
from farm.cli.root import registry_of, say_what_is_broken
from farm.cli.streams import echo
from farm.cli.table import show_json, show_table
from farm.errors import BadInput, BadOutput, UserError

if TYPE_CHECKING:
    from farm.cli.evaluator import Evaluation, Evaluator
    from farm.cli.run_checkpoint import Checkpoint

_COUNT: Final = 1000


@click.command(cls=Command)
@click.argument("run", type=Location(), metavar="RUN[@STEP]")
@click.option(
    "--data",
    type=Location(),
    required=True,
    metavar="DATASET",
    help="What the run was trained on: a prepared dataset, a folder of pictures, or a zip.",
)
@click.option(
    "--count",
    type=Whole(2, 1_000_000),
    default=_COUNT,
    show_default=True,
    metavar="INTEGER",
    help="Pictures to draw, and as many of the data to compare them with.",
)
@click.option(
    "--seed",
    type=Whole(0, 2**63 - 1),
    default=0,
    show_default=True,
    metavar="INTEGER",
    help="Seed of all random choices; figures of one seed compare best.",
)
@click.option(
    "--inception",
    metavar="FILE",
    help="Weights of torchvision's inception_v3, for KID, FID and the Inception Score.  [default: "
    "those that torch.hub downloads once]",
)
@click.option(
    "-o",
    "--output",
    type=Location(),
    help="Write a picture of samples beside the data they resemble most.",
)
@click.option(
    "--every-checkpoint", is_flag=True, help="Measure all checkpoints that the run has kept."
)
@AS_JSON
@click.pass_context
def evaluate(  # noqa: PLR0917 - the options of the command
    context: click.Context,
    run: str,
    data: str,
    count: int,
    seed: int,
    inception: str | None,
    output: str | None,
    *,
    every_checkpoint: bool,
    is_json: bool,
) -> None:
    """Measure the pictures of RUN, at its newest checkpoint or at the one after STEP.

    Lower is better for all figures but the Inception Score and nearest. swd: sliced Wasserstein
    distance by height of the band. ms-ssim: similarity of pairs; compare it with the data's.
    duplicates: the share of pictures that were drawn twice. nearest: the distance to the nearest
    picture of the data, relative to that of the data itself; far below 1, the run copies. Figures
    are added to RUN/evaluation.json.
    """
    from farm.cli.evaluator import Evaluator, add_to_file
    from farm.cli.run_checkpoint import find_all, find_one

    _check_output(output)
    say_what_is_broken(context)
    registry = registry_of(context)
    found = find_all(registry, run) if every_checkpoint else [find_one(registry, run)]
    evaluator = Evaluator(found[-1], data, count, seed, inception)
    measured = []
    for checkpoint in found:
        evaluation = _evaluated(evaluator, checkpoint, is_one_of_many=len(found) > 1)
        if evaluation:
            measured.append(evaluation)
            add_to_file(checkpoint.folder, evaluation.entry)
    if not measured:
        raise BadInput(found[-1].folder, "its checkpoints were removed meanwhile; try again")
    if output:
        evaluator.write_sheet(output, measured[-1])
    if is_json:
        show_json([evaluation.entry for evaluation in measured])
    else:
        _show(evaluator, measured)


def _check_output(output: str | None) -> None:
    """Raise BadOutput unless the output is a still that can be written."""
    from farm.media import WRITABLE
    from farm.planning.outputs import check_output

    if output is None:
        return
    if not output.lower().endswith(tuple(WRITABLE)):
        raise BadOutput(output, f"its suffix must be one of {', '.join(WRITABLE)}")
    check_output(output, ())


def _evaluated(
    evaluator: "Evaluator", checkpoint: "Checkpoint", *, is_one_of_many: bool
) -> "Evaluation | None":
    """Return the evaluation of a checkpoint; None if the run has removed this one of many."""
    try:
        return evaluator.evaluate(checkpoint)
    except UserError as error:
        if not is_one_of_many:
            raise
        echo(f"step {checkpoint.step} was not measured: {error}", err=True)
        return None


def _show(evaluator: "Evaluator", measured: "list[Evaluation]") -> None:
    rows = [evaluation.row for evaluation in measured]
    rows.append(evaluator.data_row)
    columns = dict.fromkeys(name for row in rows for name in row)
    show_table(rows, tuple(columns))
    for note in evaluator.notes:
        echo(note, err=True)
