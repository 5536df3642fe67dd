"""``farm doctor``: what this machine has, what is wrong with it, and what to do about it.

Every check looks at one thing and never raises: what fails becomes a finding.
"""

import importlib
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final, Literal

import click

from farm.cli.exits import Exit
from farm.cli.root import registry_of
from farm.cli.table import show_json, show_table
from farm.host.registry import Registry
from farm.settings import Settings, available_cores

GIB: Final = 2**30
LITTLE_MEMORY: Final = 2 * GIB
LITTLE_DISK: Final = 1 * GIB
LITTLE_SHM: Final = 1 * GIB


@dataclass(frozen=True)
class Finding:
    """One thing looked at. advice: what to do where the state is not ok."""

    check: str
    state: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""


Check = Callable[[Registry], Iterator[Finding]]


@click.command()
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, *, is_json: bool) -> int:
    """Say what this machine has and what is wrong with it."""
    findings = [found for check in CHECKS for found in _guarded(check, registry_of(context))]
    rows = [asdict(finding) for finding in findings]
    if is_json:
        show_json(rows)
    else:
        show_table(rows, ("check", "state", "found", "advice"))
    is_ill = any(finding.state == "problem" for finding in findings)
    return Exit.FAILED if is_ill else Exit.DONE


def _guarded(check: Check, registry: Registry) -> Iterator[Finding]:
    name = check.__name__.strip("_")
    try:
        yield from check(registry)
    except Exception as error:  # noqa: BLE001 - a sick machine may raise anything
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        yield Finding(name, "problem", told, "this check itself failed; please report it")


def _enough(name: str, free: int, little: int, found: str, advice: str) -> Finding:
    if free < little:
        return Finding(name, "warning", found, advice)
    return Finding(name, "ok", found)


def _machine(_: Registry) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield Finding("platform", "ok", platform.platform())
    yield Finding("cores", "ok", str(available_cores()))


def _memory(_: Registry) -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / GIB:.1f} GiB free of {memory.total / GIB:.1f} GiB"
    yield _enough("memory", memory.available, LITTLE_MEMORY, found, "use a smaller --tile")


def _disk(_: Registry) -> Iterator[Finding]:
    free = shutil.disk_usage(".").free
    yield _enough("disk", free, LITTLE_DISK, f"{free / GIB:.1f} GiB free here", "make room")


def _shared_memory(_: Registry) -> Iterator[Finding]:
    folder = Path("/dev/shm")  # noqa: S108 - its size is looked at, nothing is written
    if folder.is_dir():
        size = shutil.disk_usage(folder).total
        advice = "a pool is slow with so little; in Docker give --shm-size=2g"
        yield _enough("shared memory", size, LITTLE_SHM, f"{size / GIB:.1f} GiB", advice)


def _packages(_: Registry) -> Iterator[Finding]:
    for line in requires("neural-render-farm") or ():
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "problem", "not installed", f"pip install '{line}'")


def _torch(_: Registry) -> Iterator[Finding]:
    try:
        torch = importlib.import_module("torch")
    except Exception as error:  # noqa: BLE001 - a broken build raises what it likes
        yield Finding("torch", "problem", f"cannot be imported: {error}", "reinstall torch")
        return
    if not torch.cuda.is_available():
        yield Finding("devices", "ok", "cpu; no CUDA device")
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield Finding("devices", "ok", f"{device.name}, {device.total_memory / GIB:.0f} GiB")


def _pool(registry: Registry) -> Iterator[Finding]:
    try:
        importlib.import_module("ray")
    except Exception as error:  # noqa: BLE001 - a broken build raises what it likes
        advice = "reinstall ray; rendering in process works without it"
        yield Finding("pool", "warning", f"ray cannot be imported: {error}", advice)
        return
    offered = ", ".join(registry.executors)
    if offered:
        yield Finding("pool", "ok", offered)
    else:
        yield Finding("pool", "warning", "no executor", "--workers needs the plugin ray")


def _plugins(registry: Registry) -> Iterator[Finding]:
    for plugin in registry.plugins:
        found = f"{plugin.name} {plugin.version}: {plugin.state}".replace(" :", ":")
        if plugin.state == "failed":
            advice = f"repair or uninstall {plugin.source}"
            yield Finding("plugin", "problem", f"{found}: {plugin.reason}", advice)
        else:
            yield Finding("plugin", "ok", found)


def _ledger(_: Registry) -> Iterator[Finding]:
    from farm.ledger import Ledger

    settings = Settings()
    place = str(settings.ledger_path or "the database in FARM_LEDGER")
    try:
        Ledger.open(settings.ledger_url)
    except Exception as error:  # noqa: BLE001 - databases raise what they like
        told = " ".join(str(error).split())[:200]
        advice = "set FARM_LEDGER to a file in a folder you may write to"
        yield Finding("ledger", "problem", f"{place}: {told}", advice)
        return
    yield Finding("ledger", "ok", place)


def _weights(registry: Registry) -> Iterator[Finding]:
    from farm.engine.weights import find_weights

    specs = registry.networks
    here = [name for name, spec in specs.items() if find_weights(spec)]
    missing = [name for name in specs if name not in here]
    if here:
        yield Finding("weights", "ok", f"here: {', '.join(here)}")
    else:
        yield Finding("weights", "problem", "none here", "reinstall the farm, or give --weights")
    if missing:
        advice = "fetched when first used; offline, give --weights FILE"
        yield Finding("weights", "warning", f"not here: {', '.join(missing)}", advice)


CHECKS: Final[tuple[Check, ...]] = (
    _machine,
    _memory,
    _disk,
    _shared_memory,
    _packages,
    _torch,
    _pool,
    _plugins,
    _ledger,
    _weights,
)
