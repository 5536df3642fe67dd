"""A broken plugin is listed with the reason, and everything else still works."""

import logging
import signal
from pathlib import Path
from textwrap import dedent

import pytest

from farm.errors import UnknownName, UserError
from farm.host.registry import Plugin, Registry
from farm.model.job import Job, JobSpec

from ..distributions import HEAD, Install, effect  # noqa: TID252 - shared between rooms

FINE = effect("fine")
OBSERVER = dedent("""
    finished = []

    @hookimpl
    def farm_job_finished(job):
        finished.append(job.id)
    """)


def plugin(registry: Registry, name: str, source: str = "") -> Plugin:
    (match,) = (p for p in registry.plugins if p.name == name and source in p.source)
    return match


def test_an_installed_plugin_is_loaded_with_its_version_and_tasks(install: Install) -> None:
    install("farm-fine", FINE)
    registry = Registry.load()
    assert plugin(registry, "farm-fine") == Plugin("farm-fine", "1.2", "farm-fine", ("fine",))
    assert registry.task("fine").name == "fine"


BROKEN = {
    "raises": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "base": ("class Halt(BaseException): pass\nraise Halt('now')", "Halt: now"),
    "speechless": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        "Mute",
    ),
    "silencing": (
        "class Mute(BaseException):\n    def __str__(self): raise SystemExit\nraise Mute",
        "Mute",
    ),
    "halting-hook": (
        HEAD + "@hookimpl\ndef farm_tasks(): raise GeneratorExit('enough')",
        "GeneratorExit: enough",
    ),
    "imports": ("import not_there_at_all", "No module named 'not_there_at_all'"),
    "syntax": ("def (", "SyntaxError"),
    "hookless": ("answer = 42", "implements no hook"),
    "misspelt": (
        HEAD + "@hookimpl\ndef farm_task(): return []",
        "unknown hook farm_task; did you mean farm_tasks?",
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
    "no list": (FINE.replace("[Fake]", "Fake"), "farm_tasks returned <class"),
    "twice": (FINE.replace("[Fake]", "[Fake, Fake]"), "provides the task 'fine' twice"),
    "reserved": (effect("networks"), "'networks' is one of the farm's own commands"),
    "capitals": (
        effect("Fine"),
        "task class Fake has the invalid name 'Fine'; use 1 to 32 lower-case letters",
    ),
    "nameless": (FINE.replace("name =", "nom ="), "has the invalid name None"),
    "abstract": (FINE.replace("def render", "def draw"), "'fine' is abstract; define render"),
    "contextless": (
        FINE.replace("render(self, image, context)", "render(self, image)"),
        "calls render(image, context), but it is defined as render(self, image) (host_farm_broken.py, ",
    ),
    "wordy check": (
        FINE.replace("    def render", "    def check(self, context, more): pass\n    def render"),
        "the farm calls check(context), but it is defined as check(self, context, more)",
    ),
    "parameterless": (
        FINE.replace("def render", "class Parameters(TaskParams): pass\n    def render"),
        "task 'fine': its parameters are in a class Parameters; name it Params",
    ),
    "incoherent": (
        FINE.replace("name =", "coherence = 'flw'; name ="),
        "task 'fine': coherence is 'flw'; choose one of 'none', 'previous', 'flow'",
    ),
    "endless": (
        FINE.replace("name =", "is_endless = 'yes'; name ="),
        "task 'fine': is_endless is 'yes'; set it to True or False",
    ),
    "careless __init__": (
        FINE.replace("def render", "def __init__(self): pass\n    def render"),
        "task 'fine': the farm calls __init__(params), but it is defined as __init__(self)",
    ),
    "undocumented": (FINE.replace('"""Keeps the picture."""', ""), "has no docstring"),
    "params": (
        FINE.replace("name = 'fine'", "name = 'fine'; Params = dict"),
        "task 'fine': Params must be a subclass of TaskParams, not <class 'dict'>",
    ),
    "flag": (
        FINE.replace("name = 'fine'", "name = 'fine'\n    class Params(TaskParams): seed: int = 3"),
        "parameter 'seed' needs the flag --seed, which the farm already uses",
    ),
    "network": (
        HEAD + "@hookimpl\ndef farm_networks(): return ['vgg']",
        "farm_networks returned 'vgg'; it must return NetworkSpecs",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_listed_with_the_reason_and_the_others_still_work(
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


def test_the_traceback_of_a_failed_import_is_kept(install: Install) -> None:
    install("farm-broken", "def hidden():\n    raise RuntimeError('deep')\nhidden()")
    assert "in hidden" in plugin(Registry.load(), "farm-broken").traceback


def test_a_second_plugin_with_the_same_name_is_refused_naming_both(install: Install) -> None:
    install("farm-a", effect("one"), point="same")
    install("farm-b", effect("two"), point="same")
    registry = Registry.load()
    assert plugin(registry, "same", "farm-a").state == "loaded"
    refused = plugin(registry, "same", "farm-b")
    assert refused.state == "failed"
    assert refused.reason == "farm-a and farm-b both provide the plugin 'same'; remove one"
    assert "two" not in registry.tasks


def test_a_second_task_with_the_same_name_is_refused_naming_both(install: Install) -> None:
    install("farm-a", effect("one"))
    install("farm-b", effect("one"))
    registry = Registry.load()
    assert plugin(registry, "farm-a").tasks == ("one",)
    refused = plugin(registry, "farm-b")
    assert refused.reason == "farm-a and farm-b both provide the task 'one'; remove one"
    assert refused.tasks == ()


def test_a_duplicate_network_refuses_its_whole_plugin(install: Install) -> None:
    source = HEAD + dedent("""
        from farm import NetworkSpec

        @hookimpl
        def farm_networks():
            yield NetworkSpec("net", build=list)
        """)
    install("farm-a", source)
    install("farm-b", source + effect("late"))
    registry = Registry.load()
    assert "both provide the network 'net'" in plugin(registry, "farm-b").reason
    assert "late" not in registry.tasks


def test_files_of_the_plugins_folder_are_plugins_named_by_their_stem(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FINE)
    (tmp_path / "_shared.py").write_text("raise RuntimeError('not a plugin')")
    registry = Registry.load(tmp_path)
    assert plugin(registry, "mine").source == str(tmp_path / "mine.py")
    assert "fine" in registry.tasks
    assert not [p for p in registry.plugins if p.name == "_shared"]


def test_a_file_with_the_name_of_an_installed_plugin_is_refused_naming_both(
    install: Install, tmp_path: Path
) -> None:
    install("farm-a", FINE, point="mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine.py").write_text(effect("other"))
    reason = plugin(Registry.load(folder), "mine", "mine.py").reason
    assert "farm-a" in reason
    assert str(folder / "mine.py") in reason


def test_a_plugin_that_clashes_with_another_is_said_whatever_command_loads_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, task in (("dream", "mine"), ("again", "style"), ("fine", "fine")):
        (tmp_path / f"{name}.py").write_text(effect(task))
    Registry.load(tmp_path)
    other, one = sorted(caplog.messages)
    assert one == (
        f"not loaded: plugin dream: neural-render-farm and {tmp_path / 'dream.py'} both provide the "
        "plugin 'dream'; remove one"
    )
    assert other == (
        f"not loaded: plugin again: neural-render-farm and {tmp_path / 'again.py'} both provide the "
        "task 'style'; remove one"
    )


def test_a_missing_plugins_folder_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        Registry.load(tmp_path / "nowhere")


def test_a_blocked_plugin_is_not_imported(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("farm-bad", "import os; os.abort()")
    monkeypatch.setenv("FARM_BLOCK_PLUGINS", "other, farm-bad")
    blocked = plugin(Registry.load(), "farm-bad")
    assert (blocked.state, blocked.reason) == ("blocked", "listed in FARM_BLOCK_PLUGINS")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("wrap", ["{}", "try: {}\nexcept BaseException: pass"])
def test_a_signal_from_the_user_ends_the_loading_whatever_the_plugin_does(
    install: Install, number: signal.Signals, wrap: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt("from the user")

    press = f"import os; os.kill(os.getpid(), {int(number)}); [n for n in range(10**6)]"
    install("farm-slow", wrap.format(press))
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt, match="from the user"):
            Registry.load()
    finally:
        signal.signal(number, before)


def test_a_plugin_cannot_take_over_the_signals_of_the_command(install: Install) -> None:
    install("farm-deaf", "import signal; signal.signal(signal.SIGINT, print)")
    before = signal.getsignal(signal.SIGINT)
    assert plugin(Registry.load(), "farm-deaf").state == "failed"
    assert signal.getsignal(signal.SIGINT) == before


def test_a_misspelt_name_of_a_blocked_plugin_is_said(
    install: Install, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install("farm-fine", FINE)
    monkeypatch.setenv("FARM_BLOCK_PLUGINS", "farm-fin,style,???")
    Registry.load()
    assert caplog.messages == [
        "FARM_BLOCK_PLUGINS names '???', which is not installed; `farm plugins` lists those that are",
        "FARM_BLOCK_PLUGINS names 'farm-fin', which is not installed; did you mean 'farm-fine'?",
    ]


@pytest.mark.parametrize("state", ["failed", "blocked"])
def test_an_unknown_name_names_the_plugins_that_are_not_loaded(
    install: Install, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    install("farm-nets", "raise RuntimeError('no licence')")
    if state == "blocked":
        monkeypatch.setenv("FARM_BLOCK_PLUGINS", "farm-nets")
    error = "RuntimeError: no licence (host_farm_nets.py, line 1)"
    reason = {"failed": error, "blocked": "listed in FARM_BLOCK_PLUGINS"}
    with pytest.raises(UnknownName) as unknown:
        Registry.load().network("qqq")
    said = f"; not loaded: plugin farm-nets ({state}: {reason[state]}); see `farm plugins`"
    assert str(unknown.value).endswith(said)


def test_the_task_of_a_failed_plugin_is_refused_with_the_reason(install: Install) -> None:
    install("farm-x", "raise RuntimeError('no licence')", point="glow")
    with pytest.raises(
        UserError,
        match=r"glow failed: RuntimeError: no licence \(host_farm_x.py, line 1\); see `farm plugins`",
    ):
        Registry.load().task("glow")


def test_a_task_whose_plugin_failed_is_missing_for_a_reason_that_is_said(install: Install) -> None:
    install("farm-a", effect("glow"))
    install("farm-b", "import gone\n" + effect("glow2"))
    with pytest.raises(UnknownName) as unknown:
        Registry.load().task("glow2")
    assert str(unknown.value) == (
        "unknown task 'glow2'; did you mean glow? not loaded: plugin farm-b (failed: "
        "ModuleNotFoundError: No module named 'gone' (host_farm_b.py, line 1)); see `farm plugins`"
    )


def test_the_line_that_broke_a_plugin_is_the_authors_own(install: Install) -> None:
    install("farm-broken", "import json\n\n\ndef read():\n    json.loads('{')\n\nread()")
    reason = plugin(Registry.load(), "farm-broken").reason
    assert reason.startswith("JSONDecodeError: Expecting property name")
    assert reason.endswith(" (host_farm_broken.py, line 5)")


def test_a_default_that_its_own_parameter_refuses_is_said_at_load(install: Install) -> None:
    amount = "amount: float = Field(2.0, le=1, description='How much.')"
    params = f"    class Params(TaskParams):\n        {amount}\n"
    render = "    def render"
    install("farm-bad", effect("bad").replace(render, params + render))
    assert plugin(Registry.load(), "farm-bad").reason == (
        "task 'bad': the default of parameter 'amount' is refused: should be less than or equal to 1, "
        "not 2.0"
    )


def test_an_unknown_task_suggests_a_close_match(install: Install) -> None:
    install("farm-a", effect("sharpen"))
    with pytest.raises(UnknownName, match="unknown task 'sharpn'; did you mean sharpen"):
        Registry.load().task("sharpn")


def answering(answer: str, names: str = "()") -> str:
    """Return the source of a plugin that answers farm_network, and lists no network."""
    return HEAD + dedent(f"""
        from farm import NetworkSpec

        @hookimpl
        def farm_network(name):
            return {answer}

        @hookimpl
        def farm_network_names():
            return {names}
        """)


def spec_of(description: str) -> str:
    """Return an expression: a spec for the name "hidden", and None for all others."""
    return f"NetworkSpec(name, list, description={description!r}) if name == 'hidden' else None"


def test_a_network_that_no_plugin_lists_is_found_by_its_name(install: Install) -> None:
    install("farm-a", answering("None"))
    install("farm-b", answering(spec_of("b")))
    registry = Registry.load()
    assert "hidden" not in registry.networks
    assert registry.network("hidden").description == "b"


def test_the_first_plugin_that_answers_for_a_network_wins(install: Install) -> None:
    install("farm-a", answering(spec_of("a")))
    install("farm-b", answering(spec_of("b")))
    assert Registry.load().network("hidden").description == "a"


def test_a_plugin_that_raises_for_a_network_is_logged_and_skipped(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("farm-a", answering("1 // 0"))
    install("farm-b", answering(spec_of("b")))
    with caplog.at_level(logging.WARNING):
        assert Registry.load().network("hidden").description == "b"
    (message,) = caplog.messages
    assert message.startswith("plugin farm-a: farm_network raised ZeroDivisionError: ")


@pytest.mark.parametrize(
    ("answer", "names", "reason"),
    [
        ("'vgg'", "()", "farm_network raised TypeError: it returned 'vgg'; it must return a Netw"),
        (
            "NetworkSpec('other', list)",
            "()",
            "farm_network raised ValueError: it returned the network 'other' for the name 'hidden'",
        ),
        ("None", "7", "farm_network_names raised TypeError: 'int' object is not iterable"),
        ("None", "(1 / 0 for _ in 'a')", "farm_network_names raised ZeroDivisionError: "),
    ],
)
def test_a_wrong_answer_about_networks_is_logged_and_skipped(
    install: Install, caplog: pytest.LogCaptureFixture, answer: str, names: str, reason: str
) -> None:
    install("farm-a", answering(answer, names))
    install("farm-b", answering("None", "['hidden5']"))
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(UnknownName, match="unknown network 'hidden'; did you mean hidden5"),
    ):
        Registry.load().network("hidden")
    (message,) = caplog.messages
    assert message.startswith(f"plugin farm-a: {reason}")


def test_an_unknown_network_suggests_the_names_that_plugins_answer(install: Install) -> None:
    install("farm-a", answering(spec_of("a"), "['hidden']"))
    with pytest.raises(UnknownName, match="unknown network 'hiden'; did you mean hidden"):
        Registry.load().network("hiden")


@pytest.mark.parametrize("kind", ["OSError", "SystemExit", "KeyboardInterrupt", "BaseException"])
def test_an_observer_that_raises_does_not_stop_the_others(
    install: Install, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    raising = OBSERVER.replace("finished.append(job.id)", f"raise {kind}('bell is broken')")
    install("farm-a", HEAD + OBSERVER, module="host_first")
    install("farm-b", HEAD + raising)
    install("farm-c", HEAD + OBSERVER, module="host_last")
    registry = Registry.load()
    job = Job("j1", JobSpec(task="fine", inputs=("a.png",), output="b.png"), created=0)
    with caplog.at_level(logging.WARNING):
        registry.hook.farm_job_finished(job=job)
    import host_first  # type: ignore[import-not-found]
    import host_last  # type: ignore[import-not-found]

    assert host_first.finished == host_last.finished == ["j1"]
    where = "host_farm_b.py, line 7"
    assert caplog.messages == [
        f"plugin farm-b: farm_job_finished raised {kind}: bell is broken ({where})"
    ]


def test_the_relay_has_only_the_farms_hooks() -> None:
    assert not hasattr(Registry.load().hook, "farm_jobs_finished")
