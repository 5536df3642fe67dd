"""The service that a command asks, if any."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from farm.cli.location import FARM_URL, Location
from farm.errors import UserError
from farm.settings import Settings

if TYPE_CHECKING:
    from farm.client import Client

SERVER = click.option(
    "--server",
    type=Location(FARM_URL),
    metavar="URL",
    help="Farm to ask, in place of the one that FARM_SERVER names.",
)


def server_of(given: str | None) -> str:
    """Return the URL of the service to ask; empty if none is named."""
    return given or Settings().server


@contextmanager
def client_of(given: str | None) -> Iterator["Client"]:
    """Yield a client of the service to ask. Raises UserError if none is named."""
    server = server_of(given)
    if not server:
        raise UserError(
            "no farm is named; start one with `farm serve`, and give --server URL or set FARM_SERVER"
        )
    from farm.client import Client

    with Client(server) as client:
        yield client
