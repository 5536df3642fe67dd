"""Finding plugins, vetting what they offer, and living with those that are broken.

One pluggy manager holds one plugin, so whatever goes wrong in it stays there: the plugin is
listed as failed with its reason, and all others go on. Knows no plugin by name.
"""

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, final

import pluggy

from farm.errors import PluginError, UnknownName, UserError
from farm.host import hookspecs
from farm.host.discovery import Candidate, Plugin, files_in, installed
from farm.host.executor import ExecutorFactory
from farm.host.task import Task
from farm.host.vetting import task_fault
from farm.model.specs import NetworkSpec
from farm.settings import Settings

__all__ = ["HookRelay", "Plugin", "Registry"]

HOOKS: Final = tuple(name for name in vars(hookspecs) if name.startswith("farm_"))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Offer:
    """All that one plugin offers, vetted in itself."""

    tasks: dict[str, type[Task]]
    networks: dict[str, NetworkSpec]
    executors: dict[str, ExecutorFactory]


@final
class HookRelay:
    """Calls a hook of every plugin: ``relay.farm_job_finished(job=job)``.

    A plugin that raises is logged and skipped.
    """

    def __init__(self) -> None:
        self._managers: dict[str, pluggy.PluginManager] = {}

    def add(self, name: str, manager: pluggy.PluginManager) -> None:
        """Have the plugin hear of what happens from now on."""
        self._managers[name] = manager

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if hook not in HOOKS:
            raise AttributeError(hook)

        def broadcast(**arguments: object) -> None:
            for _ in self.ask(hook, **arguments):
                pass

        return broadcast

    def ask(self, hook: str, **arguments: object) -> Iterator[Any]:
        """Yield each plugin's answer to a hook, in the order the plugins were loaded."""
        for name, manager in self._managers.items():
            try:
                answer = getattr(manager.hook, hook)(**arguments)
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything
                log.warning("%s", PluginError(name, f"{hook} raised {_describe(error)}"))
            else:
                yield answer


@final
class Registry:
    """The plugins of this process and what they offer. Make it with Registry.load()."""

    def __init__(self) -> None:
        self._plugins: dict[str, Plugin] = {}
        self._refused: list[Plugin] = []
        self._owners: dict[tuple[str, str], str] = {}
        self._tasks: dict[str, type[Task]] = {}
        self._networks: dict[str, NetworkSpec] = {}
        self._executors: dict[str, ExecutorFactory] = {}
        self.hook = HookRelay()

    @classmethod
    def load(cls, plugins_dir: Path | None = None) -> "Registry":
        """Find, import and vet every installed plugin and every file of plugins_dir.

        Raises UserError where plugins_dir is no folder; a broken plugin raises nothing.
        """
        registry = cls()
        blocked = Settings().block_plugins
        for candidate in (*installed(), *files_in(plugins_dir)):
            registry._take(candidate, blocked)
        return registry

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every plugin found, also those that failed or are blocked."""
        return (*self._plugins.values(), *self._refused)

    @property
    def tasks(self) -> Mapping[str, type[Task]]:
        return self._tasks

    @property
    def networks(self) -> Mapping[str, NetworkSpec]:
        return self._networks

    @property
    def executors(self) -> Mapping[str, ExecutorFactory]:
        return self._executors

    def task(self, name: str) -> type[Task]:
        """Return a task by name. Raises UnknownName; UserError if its plugin is broken."""
        if name in self._tasks:
            return self._tasks[name]
        plugin = self._plugins.get(name)
        if plugin is not None and plugin.state != "loaded":
            raise UserError(f"plugin {name} is {plugin.state}: {plugin.reason}; see `farm plugins`")
        raise UnknownName("task", name, self._tasks)

    def network(self, name: str) -> NetworkSpec:
        """Return a network by name, listed or answered by a plugin. Raises UnknownName."""
        if name in self._networks:
            return self._networks[name]
        for spec in self.hook.ask("farm_network", name=name):
            if isinstance(spec, NetworkSpec):
                return spec
        others = [other for names in self.hook.ask("farm_network_names") for other in _all(names)]
        raise UnknownName("network", name, dict.fromkeys((*self._networks, *others)))

    def _take(self, candidate: Candidate, blocked: frozenset[str]) -> None:
        plugin = candidate.plugin
        if plugin.name in self._plugins:
            first = self._plugins[plugin.name].source
            reason = f"{first} and {plugin.source} both name a plugin {plugin.name!r}; remove one"
            self._refused.append(replace(plugin, state="failed", reason=reason))
        elif plugin.name in blocked:
            self._plugins[plugin.name] = replace(
                plugin, state="blocked", reason="named in FARM_BLOCK_PLUGINS"
            )
        else:
            self._plugins[plugin.name] = self._try(candidate)

    def _try(self, candidate: Candidate) -> Plugin:
        plugin = candidate.plugin
        try:
            manager = _managed(plugin.name, candidate.load())
            offer = _offer(manager)
            self._claim(plugin, offer)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
            story = "" if isinstance(error, PluginError) else traceback.format_exc()
            return replace(plugin, state="failed", reason=_describe(error), traceback=story)
        self.hook.add(plugin.name, manager)
        return replace(plugin, tasks=tuple(offer.tasks))

    def _claim(self, plugin: Plugin, offer: _Offer) -> None:
        """Add what the plugin offers; add nothing where a name of it is taken."""
        kinds: dict[str, Mapping[str, object]] = {
            "task": offer.tasks,
            "network": offer.networks,
            "executor": offer.executors,
        }
        names = [(kind, name) for kind, offered in kinds.items() for name in offered]
        for kind, name in names:
            owner = self._owners.get((kind, name))
            if owner is not None:
                reason = f"{owner} and {plugin.source} both offer the {kind} {name!r}; remove one"
                raise PluginError(plugin.name, reason)
        self._owners.update(dict.fromkeys(names, plugin.source))
        self._tasks.update(offer.tasks)
        self._networks.update(offer.networks)
        self._executors.update(offer.executors)


def _managed(name: str, plugin: object) -> pluggy.PluginManager:
    """Register the plugin alone. Raises PluginError for hooks the farm does not have."""
    manager = pluggy.PluginManager("farm")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin, name)
    implemented = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    if not implemented:
        raise PluginError(name, "implements no hook; is farm_tasks marked with @hookimpl?")
    for hook in implemented:
        if hook not in HOOKS:
            close = get_close_matches(hook, HOOKS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"hooks are {', '.join(HOOKS)}"
            raise PluginError(name, f"{hook}: {hint}")
    return manager


def _offer(manager: pluggy.PluginManager) -> _Offer:
    (name,) = (name for name, _ in manager.list_name_plugin())
    tasks: dict[str, type[Task]] = {}
    for task in _all(manager.hook.farm_tasks()):
        fault = task_fault(task)
        if fault:
            raise PluginError(name, fault)
        _once(name, tasks, "task", task.name, task)
    networks: dict[str, NetworkSpec] = {}
    for spec in _all(manager.hook.farm_networks()):
        if not isinstance(spec, NetworkSpec):
            raise PluginError(name, f"farm_networks gave {spec!r}; it returns NetworkSpecs")
        _once(name, networks, "network", spec.name, spec)
    executors: dict[str, ExecutorFactory] = {}
    for offered in manager.hook.farm_executors():
        executors.update(offered)
    return _Offer(tasks, networks, executors)


def _all(results: list[Any]) -> Iterator[Any]:
    """Flatten what a hook returned: one iterable, or none where it is not implemented."""
    for result in results:
        yield from result


def _once(plugin: str, into: dict[str, Any], kind: str, name: str, value: object) -> None:
    if name in into:
        raise PluginError(plugin, f"offers the {kind} {name!r} twice")
    into[name] = value


def _describe(error: BaseException) -> str:
    """Say an error in one line, with its type where the text alone would not do."""
    if isinstance(error, PluginError):
        return error.reason
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
