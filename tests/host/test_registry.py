"""A broken plugin is listed as broken, with its reason; all else goes on."""

import logging
from pathlib import Path
from textwrap import dedent

import pytest

from farm.errors import UnknownName, UserError
from farm.host.registry import Plugin, Registry
from farm.model.job import Job, JobSpec

from ..distributions import HEAD, Install, effect  # noqa: TID252 - shared between rooms

FINE = effect("fine")
OBSERVER = dedent("""
    heard = []

    @hookimpl
    def farm_job_finished(job):
        heard.append(job.id)
    """)


def plugin(registry: Registry, name: str, source: str = "") -> Plugin:
    (found,) = (p for p in registry.plugins if p.name == name and source in p.source)
    return found


def test_installed_plugin_is_loaded_with_its_version_and_tasks(install: Install) -> None:
    install("farm-fine", FINE)
    registry = Registry.load()
    assert plugin(registry, "farm-fine") == Plugin("farm-fine", "1.2", "farm-fine", ("fine",))
    assert registry.task("fine").name == "fine"


BROKEN = {
    "raises": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "imports": ("import not_there_at_all", "No module named 'not_there_at_all'"),
    "syntax": ("def (", "SyntaxError"),
    "hookless": ("answer = 42", "implements no hook"),
    "misspelt": (
        HEAD + "@hookimpl\ndef farm_task(): return []",
        "farm_task: did you mean farm_tasks?",
    ),
    "signature": (
        HEAD + "@hookimpl\ndef farm_job_finished(work): pass",
        "hookimpl definition: farm_job_finished(work)",
    ),
    "raising-hook": (HEAD + "@hookimpl\ndef farm_tasks(): return 1 // 0", "ZeroDivisionError"),
    "raising-iterator": (
        HEAD + "@hookimpl\ndef farm_tasks():\n    yield 1 // 0",
        "ZeroDivisionError",
    ),
    "instance": (FINE.replace("[Fake]", "[7]"), "7 is not a Task subclass"),
    "twice": (FINE.replace("[Fake]", "[Fake, Fake]"), "offers the task 'fine' twice"),
    "reserved": (effect("networks"), "'networks' is one of the farm's own commands"),
    "capitals": (effect("Fine"), "has the name 'Fine'; use 1 to 32 lower-case letters"),
    "nameless": (FINE.replace("name =", "nom ="), "has the name None"),
    "abstract": (FINE.replace("def render", "def draw"), "'fine' is abstract; define render"),
    "undocumented": (FINE.replace('"""Keeps the picture."""', ""), "has no docstring"),
    "params": (
        FINE.replace("name = 'fine'", "name = 'fine'; Params = dict"),
        "derive it from TaskParams",
    ),
    "flag": (
        FINE.replace("name = 'fine'", "name = 'fine'\n    class Params(TaskParams): seed: int = 3"),
        "parameter 'seed' would take the flag --seed from the farm itself",
    ),
    "network": (
        HEAD + "@hookimpl\ndef farm_networks(): return ['vgg']",
        "farm_networks gave 'vgg'; it returns NetworkSpecs",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_plugin_is_listed_with_its_reason_and_the_rest_goes_on(
    install: Install, case: str
) -> None:
    source, reason = BROKEN[case]
    install("farm-broken", source)
    install("farm-other", effect("other"))
    registry = Registry.load()
    failed = plugin(registry, "farm-broken")
    assert failed.state == "failed"
    assert reason in failed.reason
    assert "\n" not in failed.reason
    assert registry.task("other")


def test_traceback_of_a_failed_import_is_kept(install: Install) -> None:
    install("farm-broken", "def hidden():\n    raise RuntimeError('deep')\nhidden()")
    assert "in hidden" in plugin(Registry.load(), "farm-broken").traceback


def test_second_plugin_of_a_name_is_refused_naming_both_distributions(install: Install) -> None:
    install("farm-a", effect("one"), point="same")
    install("farm-b", effect("two"), point="same")
    registry = Registry.load()
    assert plugin(registry, "same", "farm-a").state == "loaded"
    refused = plugin(registry, "same", "farm-b")
    assert refused.state == "failed"
    assert refused.reason == "farm-a and farm-b both name a plugin 'same'; remove one"
    assert "two" not in registry.tasks


def test_second_task_of_a_name_is_refused_naming_both_distributions(install: Install) -> None:
    install("farm-a", effect("one"))
    install("farm-b", effect("one"))
    registry = Registry.load()
    assert plugin(registry, "farm-a").tasks == ("one",)
    refused = plugin(registry, "farm-b")
    assert refused.reason == "farm-a and farm-b both offer the task 'one'; remove one"
    assert refused.tasks == ()


def test_second_network_of_a_name_is_refused_with_all_its_plugin_offers(install: Install) -> None:
    source = HEAD + dedent("""
        from farm import NetworkSpec

        @hookimpl
        def farm_networks():
            yield NetworkSpec("net", build=list)
        """)
    install("farm-a", source)
    install("farm-b", source + effect("late"))
    registry = Registry.load()
    assert "both offer the network 'net'" in plugin(registry, "farm-b").reason
    assert "late" not in registry.tasks


def test_files_of_the_plugins_folder_are_plugins_by_their_stem(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FINE)
    (tmp_path / "_shared.py").write_text("raise RuntimeError('not a plugin')")
    registry = Registry.load(tmp_path)
    assert plugin(registry, "mine").source == str(tmp_path / "mine.py")
    assert "fine" in registry.tasks
    assert not [p for p in registry.plugins if p.name == "_shared"]


def test_file_that_takes_an_installed_name_names_both(install: Install, tmp_path: Path) -> None:
    install("farm-a", FINE, point="mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine.py").write_text(effect("other"))
    reason = plugin(Registry.load(folder), "mine", "mine.py").reason
    assert "farm-a" in reason
    assert str(folder / "mine.py") in reason


def test_missing_plugins_folder_is_a_wrong_request(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        Registry.load(tmp_path / "nowhere")


def test_blocked_plugin_is_not_imported(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("farm-bad", "import os; os.abort()")
    monkeypatch.setenv("FARM_BLOCK_PLUGINS", "other, farm-bad")
    assert plugin(Registry.load(), "farm-bad").state == "blocked"


def test_task_of_a_failed_plugin_is_refused_with_the_reason(install: Install) -> None:
    install("farm-x", "raise RuntimeError('no licence')", point="glow")
    with pytest.raises(UserError, match="plugin glow is failed: RuntimeError: no licence"):
        Registry.load().task("glow")


def test_unknown_task_names_the_close_one(install: Install) -> None:
    install("farm-a", effect("sharpen"))
    with pytest.raises(UnknownName, match="unknown task 'sharpn'; did you mean sharpen"):
        Registry.load().task("sharpn")


def test_raising_observer_silences_nobody(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    raising = OBSERVER.replace("heard.append(job.id)", "raise OSError('bell is broken')")
    install("farm-a", HEAD + OBSERVER, module="host_first")
    install("farm-b", HEAD + raising)
    install("farm-c", HEAD + OBSERVER, module="host_last")
    registry = Registry.load()
    job = Job("j1", JobSpec(task="fine", inputs=("a.png",), output="b.png"), created=0)
    with caplog.at_level(logging.WARNING):
        registry.hook.farm_job_finished(job=job)
    import host_first  # type: ignore[import-not-found]
    import host_last  # type: ignore[import-not-found]

    assert host_first.heard == host_last.heard == ["j1"]
    assert caplog.messages == ["plugin farm-b: farm_job_finished raised OSError: bell is broken"]


def test_relay_knows_only_the_farms_hooks() -> None:
    assert not hasattr(Registry.load().hook, "farm_jobs_finished")
