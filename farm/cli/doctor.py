"""``farm doctor``: check this machine, and report problems and how to fix them.

A check that raises becomes a finding.
"""

import importlib
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from farm.cli.exits import Exit
from farm.cli.repeated import Command
from farm.cli.root import registry_of
from farm.cli.table import show_json, show_table
from farm.errors import BadInput
from farm.host.presets import missing_file, own_presets, preset_fault
from farm.host.registry import Registry
from farm.settings import Settings, available_cores

if TYPE_CHECKING:
    from packaging.requirements import Requirement

GIB: Final = 2**30
MIN_MEMORY: Final = 2 * GIB
MIN_DISK: Final = 1 * GIB
MIN_SHM: Final = 1 * GIB


@dataclass(frozen=True)
class Finding:
    """The result of a check. advice: what to do if the state is not ok."""

    check: str
    state: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""


Check = Callable[[Registry], Iterator[Finding]]


@click.command(cls=Command)
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, *, is_json: bool) -> int:
    """Check this machine and say how to fix any problems."""
    registry = registry_of(context)
    findings = [finding for check in CHECKS for finding in _guarded(check, registry)]
    rows = [asdict(finding) for finding in findings]
    if is_json:
        show_json(rows)
    else:
        show_table(rows, ("check", "state", "found", "advice"))
    has_problem = any(finding.state == "problem" for finding in findings)
    return Exit.FAILED if has_problem else Exit.DONE


def _guarded(check: Check, registry: Registry) -> Iterator[Finding]:
    name = check.__name__.strip("_")
    try:
        yield from check(registry)
    except Exception as error:  # noqa: BLE001 - a broken machine may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        yield Finding(name, "problem", reason, "this check itself failed; please report it")


def _check_amount(name: str, amount: int, minimum: int, found: str, advice: str) -> Finding:
    if amount < minimum:
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
    yield _check_amount("memory", memory.available, MIN_MEMORY, found, "use a smaller --tile")


def _disk(_: Registry) -> Iterator[Finding]:
    free = shutil.disk_usage(".").free
    yield _check_amount(
        "disk", free, MIN_DISK, f"{free / GIB:.1f} GiB free here", "free some space"
    )


def _shared_memory(_: Registry) -> Iterator[Finding]:
    folder = Path("/dev/shm")  # noqa: S108 - only its size is read
    if folder.is_dir():
        size = shutil.disk_usage(folder).total
        advice = "too little for a fast pool; in Docker, add --shm-size=2g"
        yield _check_amount("shared memory", size, MIN_SHM, f"{size / GIB:.1f} GiB", advice)


def _packages(_: Registry) -> Iterator[Finding]:
    yield from _check_packages(requires("neural-render-farm") or ())


def _check_packages(lines: Iterable[str]) -> Iterator[Finding]:
    """Check requirements, skipping those whose markers do not apply to this environment."""
    from packaging.requirements import Requirement

    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            yield _check_package(requirement)


def _check_package(requirement: "Requirement") -> Finding:
    name, extras = requirement.name, ",".join(sorted(requirement.extras))
    advice = f"pip install '{name}{f'[{extras}]' if extras else ''}{requirement.specifier}'"
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Finding(name, "problem", "not installed", advice)
    if not requirement.specifier.contains(installed, prereleases=True):
        found = f"{installed} is installed; the farm needs {requirement.specifier}"
        return Finding(name, "problem", found, advice)
    return Finding(name, "ok", installed)


def _torch(_: Registry) -> Iterator[Finding]:
    try:
        torch = importlib.import_module("torch")
    except Exception as error:  # noqa: BLE001 - a broken build may raise anything
        yield Finding("torch", "problem", f"cannot be imported: {error}", "reinstall torch")
        return
    if not torch.cuda.is_available():
        yield Finding("devices", "ok", "CPU only; no CUDA device")
        yield _bfloat16(torch.cpu.get_capabilities())
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield Finding("devices", "ok", f"{device.name}, {device.total_memory / GIB:.0f} GiB")


def _bfloat16(capabilities: Mapping[str, object]) -> Finding:
    """Return whether a CPU with these capabilities computes bfloat16 without emulating it."""
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512"}
    units = [name for key, name in names.items() if capabilities.get(key)]
    if units:
        found = f"computed by {units[0]}; --precision bfloat16 takes about half the time"
    else:
        found = "this CPU has no unit for it; --precision bfloat16 is slow here"
    return Finding("bfloat16", "ok", found)


def _pool(registry: Registry) -> Iterator[Finding]:
    try:
        importlib.import_module("ray")
    except Exception as error:  # noqa: BLE001 - a broken build may raise anything
        advice = "reinstall ray; only --workers and --address need it"
        yield Finding("pool", "warning", f"ray cannot be imported: {error}", advice)
        return
    executors = ", ".join(registry.executors)
    if executors:
        yield Finding("pool", "ok", executors)
    else:
        advice = f"--workers and --address need plugin ray; see `{registry.listing}`"
        yield Finding("pool", "warning", "no executor", advice)


def _plugins(registry: Registry) -> Iterator[Finding]:
    for plugin in registry.plugins:
        found = f"{plugin.name} {plugin.version}: {plugin.state}".replace(" :", ":")
        if plugin.state == "failed":
            advice = f"fix or uninstall {plugin.source}"
            yield Finding("plugin", "problem", f"{found}: {plugin.reason}", advice)
        elif plugin.state == "hidden":
            yield Finding("plugin", "warning", f"{found}: {plugin.reason}", f"see {plugin.source}")
        else:
            yield Finding("plugin", "ok", found)


def _presets(registry: Registry) -> Iterator[Finding]:
    path = Settings().presets_path
    if missing_file():
        advice = "create it, or let FARM_PRESETS name another file"
        yield Finding("presets", "problem", f"{path}: no such file", advice)
        return
    try:
        faults = [*_faults_of_presets(registry)]
    except BadInput as error:
        yield Finding("presets", "problem", str(error), f"correct {path}")
        return
    for fault in faults:
        yield Finding("presets", "problem", fault, f"correct {path}")
    if not faults:
        yield Finding("presets", "ok", str(path) if path.is_file() else f"none in {path}")


def _faults_of_presets(registry: Registry) -> Iterator[str]:
    for name, presets in own_presets().items():
        if name not in registry.tasks:
            yield f"[{name}]: there is no such task"
            continue
        for preset, values in presets.items():
            if fault := preset_fault(registry.tasks[name], values, {}):
                yield f"[{name}.{preset}]: {fault}"


def _ledger(_: Registry) -> Iterator[Finding]:
    from farm.ledger import Ledger
    from farm.ledger.sqlite_version import ADVICE, sqlite_fault

    settings = Settings()
    location = str(settings.ledger_path or "the database in FARM_LEDGER")
    if settings.ledger_path and (fault := sqlite_fault()):
        yield Finding("ledger", "problem", f"{location}: {fault}", ADVICE)
        return
    try:
        Ledger.open(settings.ledger_url).close()
    except Exception as error:  # noqa: BLE001 - a database driver may raise anything
        reason = " ".join(str(error).split())[:200]
        advice = "set FARM_LEDGER to a file in a folder that you can write to"
        yield Finding("ledger", "problem", f"{location}: {reason}", advice)
        return
    yield Finding("ledger", "ok", location)


def _weights(registry: Registry) -> Iterator[Finding]:
    from farm.engine.weights import find_weights

    specs = registry.networks
    present = [name for name, spec in specs.items() if find_weights(spec)]
    missing = [name for name, spec in specs.items() if spec.weights.url and name not in present]
    if present:
        yield Finding("weights", "ok", f"present: {', '.join(present)}")
    else:
        advice = "reinstall the farm, or use --weights FILE"
        yield Finding("weights", "problem", "none present", advice)
    if missing:
        advice = "downloaded on first use; offline, use --weights FILE"
        yield Finding("weights", "warning", f"to download: {', '.join(missing)}", advice)


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
    _presets,
    _weights,
)
