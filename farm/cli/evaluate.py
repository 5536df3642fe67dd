"""``farm evaluate``: measure how good a run's pictures are, compared with its data."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from farm.cli import checkpoint as checkpoints
from farm.cli.checkpoint import Checkpoint
from farm.cli.evaluation_file import add_evaluations
from farm.cli.inspect import AS_JSON
from farm.cli.job_options import Whole
from farm.cli.progress import progress
from farm.cli.root import registry_of
from farm.cli.streams import echo
from farm.cli.table import show_json, show_table
from farm.errors import BadInput, BadOutput, WeightsMissing

if TYPE_CHECKING:
    from farm.engine.measures.evaluation import Figures, Reference
    from farm.engine.measures.inception import Inception
    from farm.engine.measures.neighbours import Nearest
    from farm.model.specs import PictureSet, Sampler

_COUNT: Final = 1000
