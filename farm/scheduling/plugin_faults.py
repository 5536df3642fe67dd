"""Notices that the plugin of a job is broken: its first units all fail with one error of its code."""


class PluginFaults:
    """The units of a job that have failed with each error of its plugin, until any unit succeeds.

    A plugin that has rendered anything is not broken, whatever other units do to it.
    """

    def __init__(self, *, has_rendered: bool) -> None:
        self._has_rendered = has_rendered
        self._units: dict[str, set[str]] = {}

    def end(self) -> None:
        """Note that the plugin has rendered a unit."""
        self._has_rendered = True
        self._units.clear()

    def add(self, unit: str, message: str) -> int:
        """Count a failure, and return how many units have failed with this error and no other outcome."""
        if self._has_rendered:
            return 0
        units = self._units.setdefault(message, set())
        units.add(unit)
        return len(units)
