"""Loads plugins, checks what they offer, and isolates those that are broken.

Each plugin has a pluggy manager of its own, so that an error stays inside it: the plugin is listed
as failed with the reason, and all others still work. Knows no plugin by name.
"""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar, final

import pluggy

from farm.errors import PluginError, UnknownName, UserError
from farm.host import hookspecs
from farm.host.blame import describe
from farm.host.discovery import Candidate, Plugin, files_in, installed
from farm.host.executor import ExecutorFactory
from farm.host.interrupts import signals_pass
from farm.host.task import Task
from farm.host.vetting import task_fault
from farm.model.specs import NetworkSpec
from farm.settings import Settings
from farm.storage import BUILT_IN, SchemeFactory, add_schemes

__all__ = ["HookRelay", "Plugin", "Registry"]

HOOKS: Final = tuple(name for name in vars(hookspecs) if name.startswith("farm_"))

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Offer:
    """Everything that one plugin offers, by name, each checked on its own."""

    tasks: dict[str, type[Task]]
    networks: dict[str, NetworkSpec]
    executors: dict[str, ExecutorFactory]
    storage: dict[str, SchemeFactory]


@final
class HookRelay:
    """Calls a hook of every plugin, as in ``relay.farm_job_finished(job=job)``.

    A plugin that raises is logged and skipped.
    """

    def __init__(self) -> None:
        self._managers: dict[str, pluggy.PluginManager] = {}
        self._callers: dict[str, dict[str, pluggy.HookCaller]] = {}

    def add(self, name: str, manager: pluggy.PluginManager) -> None:
        """Include the plugin in all further calls."""
        self._managers[name] = manager
        self._callers.clear()

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if hook not in HOOKS:
            raise AttributeError(hook)

        def broadcast(**arguments: object) -> None:
            for _ in self.ask(hook, lambda _answer: None, None, **arguments):
                pass

        return broadcast

    def has(self, hook: str) -> bool:
        """Return whether any plugin implements a hook."""
        return bool(self._implementing(hook))

    def ask(
        self,
        hook: str,
        check: Callable[[Any], Answer],
        refusals: list[UserError] | None = None,
        **arguments: object,
    ) -> Iterator[Answer]:
        """Yield the answer of each plugin that implements a hook, in the order they were loaded.

        check: returns an answer in its final form, or raises if it breaks the hook's contract.
        refusals: receives UserErrors, which are then not logged.
        """
        for name, caller in self._implementing(hook).items():
            answers: list[Answer] = []
            with signals_pass():
                try:
                    answers.append(check(caller(**arguments)))
                except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
                    if refusals is not None and isinstance(error, UserError):
                        refusals.append(error)
                    else:
                        log.warning("%s", PluginError(name, f"{hook} raised {_reason(error)}"))
            yield from answers

    def _implementing(self, hook: str) -> dict[str, pluggy.HookCaller]:
        """Return the plugins that implement a hook, with how to call it."""
        if hook not in self._callers:
            callers = {n: getattr(m.hook, hook) for n, m in self._managers.items()}
            self._callers[hook] = {n: c for n, c in callers.items() if c.get_hookimpls()}
        return self._callers[hook]


@final
class Registry:
    """The plugins of this process and what they offer. Create it with Registry.load().

    listing: the command that lists these plugins, which refusals name.
    """

    def __init__(self, listing: str = "farm plugins") -> None:
        self.listing = listing
        self._plugins: dict[str, Plugin] = {}
        self._refused: list[Plugin] = []
        self._owners = dict.fromkeys((("storage", name) for name in BUILT_IN), "the farm")
        self._clashing: set[str] = set()
        self._tasks: dict[str, type[Task]] = {}
        self._editions: dict[str, str] = {}
        self._networks: dict[str, NetworkSpec] = {}
        self._executors: dict[str, ExecutorFactory] = {}
        self.hook = HookRelay()

    @classmethod
    def load(cls, plugins_dir: Path | None = None, listing: str = "farm plugins") -> "Registry":
        """Load every installed plugin and every file of plugins_dir.

        A broken plugin is listed as failed. Raises UserError if plugins_dir is not a folder.
        """
        registry = cls(listing)
        blocked = Settings().block_plugins
        for candidate in (*installed(), *files_in(plugins_dir)):
            registry._add(candidate, blocked)
        for name in sorted(blocked - registry._plugins.keys()):
            log.warning("%s", _describe_misspelt(name, registry._plugins))
        return registry

    @property
    def broken(self) -> tuple[Plugin, ...]:
        """Plugins that failed, other than by a name in use, which is logged when they are loaded."""
        failed = (plugin for plugin in self.plugins if plugin.state == "failed")
        return tuple(plugin for plugin in failed if plugin.source not in self._clashing)

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every plugin found, including those that failed or are blocked."""
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
        """Return a task by name. Raises UnknownName, or UserError if its plugin is not loaded."""
        if name in self._tasks:
            return self._tasks[name]
        for plugin in self.plugins:
            if plugin.name == name and plugin.state != "loaded":
                raise UserError(
                    f"plugin {name} {plugin.state}: {plugin.reason}; see `{self.listing}`"
                )
        raise self._unknown("task", name, self._tasks)

    def edition(self, task: str) -> str:
        """Return the plugin that offers a task, with its version when it was loaded, as in ``glow 1.2``."""
        return self._editions[task]

    def network(self, name: str) -> NetworkSpec:
        """Return a network by name: one that a plugin lists, or the first answer to farm_network.

        Raises UnknownName, or the UserError of a plugin that refuses the name.
        """
        if name in self._networks:
            return self._networks[name]
        check, refusals = partial(_check_network, name), list[UserError]()
        for spec in self.hook.ask("farm_network", check, refusals, name=name, find=self.network):
            if spec is not None:
                return spec
        if refusals:
            raise refusals[0]
        others = self.hook.ask("farm_network_names", lambda names: [*chain.from_iterable(names)])
        raise self._unknown("network", name, dict.fromkeys((*self._networks, *chain(*others))))

    def _unknown(self, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """Return the error for an unknown name, with the plugins that may have offered it."""
        absent = [
            f"{plugin.name} ({plugin.state}: {plugin.reason})"
            for plugin in self.plugins
            if plugin.state != "loaded"
        ]
        listed = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        hint = f"not loaded: plugin {listed}; see `{self.listing}`" if absent else ""
        return UnknownName(kind, name, known, hint)

    def _add(self, candidate: Candidate, blocked: frozenset[str]) -> None:
        plugin = candidate.plugin
        if plugin.state == "hidden":
            self._refused.append(plugin)
        elif plugin.name in self._plugins:
            clash = _clash(self._plugins[plugin.name].source, plugin, "plugin", plugin.name)
            self._clashing.add(plugin.source)
            self._refused.append(replace(plugin, state="failed", reason=clash.reason))
        elif plugin.name in blocked:
            self._plugins[plugin.name] = replace(
                plugin, state="blocked", reason="listed in FARM_BLOCK_PLUGINS"
            )
        else:
            self._plugins[plugin.name] = self._load(candidate)

    def _load(self, candidate: Candidate) -> Plugin:
        plugin = candidate.plugin
        with signals_pass():
            try:
                manager = _make_manager(plugin.name, candidate.load())
                offer = _read_offer(manager)
                self._register(plugin, offer)
            except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
                trace = "" if isinstance(error, PluginError) else traceback.format_exc()
                return replace(plugin, state="failed", reason=_reason(error), traceback=trace)
        self.hook.add(plugin.name, manager)
        return replace(plugin, tasks=tuple(offer.tasks))

    def _register(self, plugin: Plugin, offer: _Offer) -> None:
        """Add everything the plugin offers, or nothing if one of its names is already taken."""
        kinds: dict[str, Mapping[str, object]] = {
            "task": offer.tasks,
            "network": offer.networks,
            "executor": offer.executors,
            "storage": offer.storage,
        }
        names = [(kind, name) for kind, offered in kinds.items() for name in offered]
        for kind, name in names:
            owner = self._owners.get((kind, name))
            if owner is not None:
                self._clashing.add(plugin.source)
                raise _clash(owner, plugin, kind, name)
        self._owners.update(dict.fromkeys(names, plugin.source))
        self._tasks.update(offer.tasks)
        self._editions |= dict.fromkeys(offer.tasks, f"{plugin.name} {plugin.edition}")
        self._networks.update(offer.networks)
        self._executors.update(offer.executors)
        add_schemes(offer.storage)


def _clash(first: str, plugin: Plugin, kind: str, name: str) -> PluginError:
    """Return the error for a name that is in use. It is logged, since what has the name still works."""
    reason = f"{first} and {plugin.source} both provide the {kind} {name!r}; remove one"
    clash = PluginError(plugin.name, reason)
    log.warning("not loaded: %s", clash)
    return clash


def _describe_misspelt(blocked: str, plugins: Iterable[str]) -> str:
    close = get_close_matches(blocked, plugins, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "`farm plugins` lists those that are"
    return f"FARM_BLOCK_PLUGINS names {blocked!r}, which is not installed; {hint}"


def _make_manager(name: str, plugin: object) -> pluggy.PluginManager:
    """Return a manager with this plugin only. Raises PluginError for an unknown hook."""
    manager = pluggy.PluginManager("farm")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin, name)
    implemented = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    if not implemented:
        raise PluginError(name, "implements no hook; is farm_tasks marked with @hookimpl?")
    for hook in implemented:
        if hook not in HOOKS:
            close = get_close_matches(hook, HOOKS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the hooks are {', '.join(HOOKS)}"
            raise PluginError(name, f"unknown hook {hook}; {hint}")
    return manager


def _read_offer(manager: pluggy.PluginManager) -> _Offer:
    (name,) = (name for name, _ in manager.list_name_plugin())
    tasks: dict[str, type[Task]] = {}
    for task in _offered(name, "farm_tasks", manager.hook.farm_tasks()):
        fault = task_fault(task)
        if fault:
            raise PluginError(name, fault)
        _add_once(name, tasks, "task", task.name, task)
    networks: dict[str, NetworkSpec] = {}
    for spec in _offered(name, "farm_networks", manager.hook.farm_networks()):
        if not isinstance(spec, NetworkSpec):
            raise PluginError(name, f"farm_networks returned {spec!r}; it must return NetworkSpecs")
        _add_once(name, networks, "network", spec.name, spec)
    executors: dict[str, ExecutorFactory] = {}
    for offered in manager.hook.farm_executors():
        executors.update(offered)
    storage: dict[str, SchemeFactory] = {}
    for offered in manager.hook.farm_storage():
        storage.update(offered)
    return _Offer(tasks, networks, executors, storage)


def _check_network(name: str, answer: object) -> NetworkSpec | None:
    """Return a plugin's answer to farm_network. Raises TypeError or ValueError."""
    if answer is None:
        return None
    if not isinstance(answer, NetworkSpec):
        raise TypeError(f"it returned {answer!r}; it must return a NetworkSpec or None")
    if answer.name != name:
        raise ValueError(f"it returned the network {answer.name!r} for the name {name!r}")
    return answer


def _offered(plugin: str, hook: str, results: list[Any]) -> Iterator[Any]:
    """Yield the items of what a hook returned: one iterable, or none if it is not implemented."""
    for result in results:
        if isinstance(result, type) or not isinstance(result, Iterable):
            reason = f"{hook} returned {result!r}; it must return a list"
            raise PluginError(plugin, reason)
        yield from result


def _add_once(plugin: str, offers: dict[str, Any], kind: str, name: str, value: object) -> None:
    if name in offers:
        raise PluginError(plugin, f"provides the {kind} {name!r} twice")
    offers[name] = value


def _reason(error: BaseException) -> str:
    return error.reason if isinstance(error, PluginError) else describe(error)
