"""``farm token``: who may ask a service."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from farm.cli.jobs_table import date
from farm.cli.listings import AS_JSON
from farm.cli.location import LocalPath
from farm.cli.repeated import CommandGroup
from farm.cli.streams import echo
from farm.cli.table import show_json, show_table
from farm.settings import Settings

if TYPE_CHECKING:
    from farm.service.tokens import TokenFile

_COLUMNS: Final = ("id", "name", "created")

TOKEN_FILE = click.option(
    "--token-file",
    "file",
    type=LocalPath(is_folder=False),
    metavar="FILE",
    help="Tokens of the service, in place of those beside the ledger.",
)


@click.group(cls=CommandGroup)
def token() -> None:
    """Give tokens to those who may ask `farm serve`, and take them back."""


@token.command()
@click.argument("name")
@TOKEN_FILE
def new(*, name: str, file: Path | None) -> None:
    """Give NAME a new token, and print it. Nobody can read it again."""
    tokens = _open(file)
    echo(tokens.new(name))
    echo(f"added to {tokens.path}; clients give it as FARM_TOKEN", err=True)


@token.command(name="list")
@TOKEN_FILE
@AS_JSON
def list_tokens(*, file: Path | None, is_json: bool) -> None:
    """List who has a token."""
    rows: list[dict[str, Any]] = [
        {"id": t.id, "name": t.name, "created": t.created} for t in _open(file).tokens()
    ]
    if is_json:
        show_json(rows)
    else:
        show_table(({**row, "created": date(row["created"])} for row in rows), _COLUMNS)


@token.command()
@click.argument("token_id", metavar="ID")
@TOKEN_FILE
def revoke(*, token_id: str, file: Path | None) -> None:
    """Take a token back, by the id that `farm token list` shows. It counts at once."""
    _open(file).revoke(token_id)
    echo(f"revoked {token_id}")


def _open(file: Path | None) -> "TokenFile":
    from farm.service.http_service import state_folder
    from farm.service.tokens import TokenFile

    return TokenFile(file or state_folder(Settings().ledger_path) / "tokens.json")
