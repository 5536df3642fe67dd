"""``farm serve``: run the farm as a service."""

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from farm.cli.display import remark
from farm.cli.exits import Exit
from farm.cli.job_options import Whole
from farm.cli.ledger import age_seconds
from farm.cli.local_jobs import missing_ledger
from farm.cli.location import RAY_ADDRESS, LocalPath, Location
from farm.cli.repeated import Command
from farm.cli.root import plugins_dir_of, registry_of, say_what_is_broken
from farm.cli.running import Running
from farm.cli.signals import signals
from farm.cli.streams import echo
from farm.errors import BadParameter, UserError
from farm.model.events import Notice
from farm.model.sent_files import UPLOADS
from farm.settings import Settings

if TYPE_CHECKING:
    from farm.host.executor import ExecutorOptions
    from farm.host.registry import Registry
    from farm.service.guard import Rules
    from farm.service.http_service import Settings as ServiceSettings

PORT: Final = 8420
SWITCH_SECONDS: Final = 0.001
"""How long a thread computes while others wait. With Python's 0.005, an answer waits for planning often."""


@click.command(cls=Command)
@click.option(
    "--address",
    type=Location(RAY_ADDRESS),
    metavar="ADDRESS",
    help="Ray cluster to run on, such as 10.0.0.1:6379.",
)
@click.option(
    "--workers",
    type=Whole(1),
    metavar="N",
    help="Worker processes; with --address, of the cluster.  [default: none; this process renders]",
)
@click.option(
    "--threads",
    type=Whole(1),
    default=1,
    metavar="N",
    help="Cores for each worker.",
    show_default=True,
)
@click.option(
    "--root",
    "given",
    multiple=True,
    metavar="NAME=PATH|URL",
    help="Folder or URL that jobs may read and write. Repeat for more. The farm keeps what clients "
    "send in the root uploads.",
)
@click.option(
    "--ledger",
    type=Location("a file or a database URL"),
    metavar="URL",
    help="Ledger of jobs, in place of FARM_LEDGER.",
)
@click.option(
    "--host",
    type=Location("an address of this machine, such as 127.0.0.1"),
    default="127.0.0.1",
    metavar="HOST",
    help="Address to listen on.",
    show_default=True,
)
@click.option(
    "--port",
    type=Whole(0, 65535),
    default=PORT,
    metavar="P",
    help="Port; 0 picks one.",
    show_default=True,
)
@click.option(
    "--token-file",
    type=LocalPath(is_folder=False),
    metavar="FILE",
    help="Tokens of those who may ask; see `farm token`.  [default: beside the ledger]",
)
@click.option(
    "--keep",
    callback=age_seconds,
    default="30d",
    show_default=True,
    metavar="AGE",
    help="Forget jobs that ended longer ago than this, such as 12h, 30d or 8w. Their files stay.",
)
@click.pass_context
def serve(
    context: click.Context,
    *,
    address: str | None,
    workers: int | None,
    threads: int,
    given: tuple[str, ...],
    ledger: str | None,
    host: str,
    port: int,
    token_file: Path | None,
    keep: float,
) -> int:
    """Run the farm as a service that takes jobs over HTTP.

    It goes on with every job in its ledger. Beyond this machine it asks for a token. Ctrl-C stops
    it in order: running frames are rendered again when it starts next.
    """
    from farm.service.http_service import Settings as ServiceSettings
    from farm.service.http_service import state_folder
    from farm.service.roots import Roots

    settings = Settings(FARM_LEDGER=ledger) if ledger else Settings()
    folder = state_folder(settings.ledger_path)
    uploads = folder / UPLOADS
    uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
    plugins_dir = plugins_dir_of(context)
    running = Running(
        workers=workers, address=address, plugins_dir=plugins_dir and plugins_dir.absolute()
    )
    with ExitStack() as stack:
        rules = _rules(host, token_file or folder / "tokens.json", folder, stack)
        if any(text.startswith(f"{UPLOADS}=") for text in given):
            raise BadParameter("root", "the farm keeps uploads under this name; choose another one")
        roots = Roots.parse([*given, f"{UPLOADS}={uploads}"])
        service = ServiceSettings(settings.ledger_url, folder, roots, rules, keep)
        created = list(missing_ledger(settings))
        say_what_is_broken(context)
        _serve(registry_of(context), running.pool(threads), service, (host, port), created)
    return Exit.DONE


def _rules(host: str, token_file: Path, folder: Path, stack: ExitStack) -> "Rules":
    """Return what requests are checked against. Raises UserError if a token is needed first."""
    from farm.service.audit import Audit
    from farm.service.guard import Rules
    from farm.service.serving import is_loopback
    from farm.service.tokens import TokenFile

    tokens, is_local = TokenFile(token_file), is_loopback(host)
    if not tokens.tokens() and not is_local:
        raise UserError(
            f"--host {host}: others can reach this address, and there is no token yet; run "
            "`farm token new NAME` first"
        )
    audit = Audit(folder / "audit.jsonl")
    stack.callback(audit.close)
    return Rules(tokens, audit, is_local=is_local)


def _serve(
    registry: "Registry",
    pool: "ExecutorOptions | None",
    settings: "ServiceSettings",
    place: tuple[str, int],
    notices: Iterable[Notice],
) -> None:
    """Serve until a signal arrives; a second one ends the process at once. notices: once it has begun."""
    from farm.app import make_executor
    from farm.service.http_service import open_http_service
    from farm.service.serving import listen

    make = partial(make_executor, registry, pool)
    sys.setswitchinterval(SWITCH_SECONDS)
    with (
        listen(*place) as listener,
        open_http_service(registry, make, settings, listener) as service,
        signals.deferred() as has_arrived,
    ):
        host, port = listener.getsockname()[:2]
        echo(f"serving on http://{f'[{host}]' if ':' in host else host}:{port}/", err=True)
        for notice in notices:
            echo(remark(notice), err=True)
        service.run(has_arrived)
        echo(
            "stopping; jobs go on when it starts next; a second signal ends the farm at once",
            err=True,
        )
        service.stop()
