"""How commands answer what a newcomer types."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from farm.cli import doctor, group
from farm.cli.options import with_values_left_out
from farm.errors import UserError
from farm.host.registry import Registry

from ..clips import clip  # noqa: TID252 - shared between rooms
from .conftest import Command, Done

__all__ = ["clip"]

QUICK = ("--iterations", "1", "--octaves", "1", "--layer", "conv3", "--threads", "1")


# A variable that is not set


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("dream", "", "-o", "out/"), "INPUT is empty; give a path or URL"),
        (("dream", "photo.png", "", "-o", "out/"), "INPUT is empty"),
        (("dream", "photo.png", "-o", ""), "--output is empty"),
        (("dream", "photo.png", "-o", "a.png", "--like", ""), "--like is empty"),
        (("dream", "photo.png", "-o", "a.png", "--preset", ""), "unknown preset ''"),
        (("dream", "photo.png", "-o", "a.png", "--guide", ""), "--guide: give the path of a file"),
        (("dream", "photo.png", "-o", "a.png", "--mask", ""), "--mask: give the path of a file"),
        (("style", "photo.png", "-o", "a.png", "--fast", ""), "--fast: give dots, eddies"),
        (("style", "photo.png", "-o", "a.png", "--style", "photo.png", "--start", ""), "--start: "),
        (("submit", "dream", "", "-o", "out/"), "INPUT is empty"),
        (("submit", "dream", "photo.png", "-o", ""), "--output is empty"),
        (("compare", "", "-o", "sheet.png"), "INPUT is empty"),
        (("compare", "photo.png", "-o", ""), "--output is empty"),
        (("flicker", "", "photo.png"), "SOURCE is empty"),
        (("prepare", "", "-o", "set"), "SRC is empty"),
        (("sample", "", "-o", "grid.png"), "RUN[@STEP] is empty"),
        (("job", "some", "fetch", "-o", ""), "--output is empty; give a path of this machine"),
        (("token", "list", "--token-file", ""), "--token-file is empty"),
    ],
)
def test_an_empty_word_does_not_stand_for_the_current_folder(
    command: Command, photo: str, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    assert_refused(command(*words), says, tmp_path, photo)


def assert_refused(done: Done, says: str, folder: Path, photo: str) -> None:
    """Assert that a command was refused with these words, and wrote nothing beside the photo."""
    assert done.code == 2
    assert says in done.errors
    assert [path.name for path in folder.iterdir()] == [photo]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("submit", "dream", "photo.png", "-o", "out/", "--server", ""), "give the URL of a farm"),
        (("dream", "photo.png", "-o", "a.png", "--server", ""), "--server is empty"),
        (("jobs", "--server", ""), "--server is empty"),
        (("workers", "--server", ""), "--server is empty"),
        (("job", "some", "cancel", "--server", ""), "--server is empty"),
        (("dream", "photo.png", "-o", "a.png", "--address", ""), "the address of a Ray cluster"),
        (("serve", "--address", ""), "--address is empty"),
        (("serve", "--ledger", ""), "--ledger is empty; give a file or a database URL"),
        (("serve", "--host", ""), "--host is empty; give an address of this machine"),
        (("serve", "--token-file", ""), "--token-file is empty"),
        (("submit", "dream", "a.png", "-o", "b/", "--submit-once", ""), "--submit-once is empty"),
        (("job", "", "log"), "ID is empty; give the id of a job"),
    ],
)
def test_an_empty_word_stands_for_no_farm_and_no_job(
    command: Command, photo: str, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    assert_refused(command(*words), says, tmp_path, photo)


# A word that is almost right


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("job", "some", "rerty"), "unknown command 'rerty'; did you mean retry?\n"),
        (("job", "some", "qqq"), "unknown command 'qqq'; choose one of show, watch, pause"),
        (("job", "some", "--qqq"), "unknown option '--qqq'"),
        (
            ("submit", "dream", "photo.png", "-o", "out/a.png", "--preview"),
            "or use it here: farm dream ... --preview",
        ),
        (("submit", "dream", "a.png", "-o", "b/", "--prevew"), "unknown option '--prevew'"),
    ],
)
def test_what_a_command_does_not_know_is_refused_with_what_is_meant(
    command: Command, photo: str, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    assert_refused(command(*words), says, tmp_path, photo)


# An option that is given twice


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("style --fast dots --fast ink", "--fast is given twice (dots, ink); the last one, ink"),
        ("style --fast --fast ink", "--fast is given twice (eddies, ink); the last one, ink"),
        ("dream --seed 1 --seed=2", "--seed is given twice (1, 2); the last one, 2, counts"),
        ("dream -ob.png --output c.png", "--output is given 3 times (a.png, b.png, c.png)"),
        ("zoom --shift 1 2 --shift 3 4", "--shift is given twice (1 2, 3 4)"),
    ],
)
def test_of_several_values_for_an_option_of_one_the_command_says_that_the_last_counts(
    command: Command, photo: str, words: str, says: str
) -> None:
    task, *options = words.split()
    done = command(task, photo, "-o", "a.png", "--dry-run", *options)
    assert says in done.errors


def test_values_to_compare_are_given_at_once(command: Command, photo: str) -> None:
    words = "--task style --fast dots --fast ink"
    done = command("compare", photo, "-o", "a.png", *words.split())
    assert done.code == 2
    assert "--fast is given twice; give it once: --fast dots,ink" in done.errors


def test_the_same_value_twice_is_one_and_a_preset_gives_none(command: Command, photo: str) -> None:
    words = ("dream", photo, "-o", "a.png", "--dry-run", "--preset", "eyes")
    done = command(*words, "--layer", "conv3", "--seed", "1", "--seed=1")
    assert done.code == 0
    assert "is given" not in done.errors


def all_commands(parent: click.Group, context: click.Context) -> Iterator[click.Command]:
    for name in parent.list_commands(context):
        found = parent.get_command(context, name)
        if isinstance(found, click.Group):
            yield from all_commands(found, click.Context(found, context, name))
        elif found:
            yield found


def test_no_command_takes_the_last_of_several_values_in_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, tried = click.Context(group, info_name="farm"), set[str]()
    for command in all_commands(group, root):
        for option in command.params:
            if isinstance(option, click.Option) and not (option.is_flag or option.multiple):
                flag = option.opts[-1]
                more = option.nargs - 1
                words = [f"{flag}=a", *["a"] * more, f"{flag}=b", *["b"] * more]
                with suppress(click.ClickException, UserError):  # a is no value of most options
                    command.make_context(command.name, words, parent=root)
                assert f"{flag} is given twice" in capsys.readouterr().err
                tried.add(flag)
    assert {"--seed", "--fast", "--server", "--count", "--token-file", "--keep"} <= tried


# A name with a slip


def test_a_word_after_fast_that_is_no_file_is_a_misspelt_network(
    command: Command, photo: str
) -> None:
    done = command("style", photo, "-o", "a.png", "--fast", "inkk")
    assert done.code == 2
    assert "--fast: no trained style network 'inkk'; did you mean ink?" in done.errors


def test_a_folder_after_fast_is_an_input(command: Command, tmp_path: Path) -> None:
    from farm_style.task import Style

    (tmp_path / "photos").mkdir()
    assert with_values_left_out(Style, ["--fast", "photos"]) == ["--fast=eddies", "photos"]
    at_the_farm = with_values_left_out(Style, ["--fast", "films"], is_remote=True)
    assert at_the_farm == ["--fast=eddies", "films"]


# What is asked for and never comes


@pytest.mark.parametrize(
    ("at", "note"),
    [
        (("0=tabby", "5=pizza"), "it ends after 0.24 s: what `at` says of 5 is not reached"),
        (("f6=tabby", "f7=pizza"), "it ends after 6 frames: what `at` says of f7 is not reached"),
        (("0=tabby", "f6=pizza"), ""),
    ],
)
def test_a_class_that_comes_after_the_end_of_a_zoom_is_said(
    command: Command, photo: str, at: tuple[str, ...], note: str
) -> None:
    words = [word for text in at for word in ("--at", text)]
    done = command("zoom", photo, "-o", "z.gif", "--frames", "6", "--dry-run", *words)
    assert done.code == 0, done.errors
    assert note in done.errors
    assert done.errors.count("is not reached") == bool(note)


# Presets of one's own


def findings() -> list[str]:
    """Return what farm doctor says of presets. The command itself would import Ray."""
    return [each.found for each in doctor._presets(Registry.load()) if each.state == "problem"]


def test_a_file_of_presets_that_is_not_there_is_said(
    command: Command, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_PRESETS", "nope.toml")
    done = command("dream", photo, "-o", "a.png", "--preset", "mist")
    assert done.code == 2
    assert "unknown preset 'mist'; choose one of strokes" in done.errors
    assert f"FARM_PRESETS names {tmp_path / 'nope.toml'}, which is no file" in done.errors
    assert findings() == [f"{tmp_path / 'nope.toml'}: no such file"]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [("stp = 2", "stp: dream has no such parameter"), ("step = -1", "step: should be greater")],
)
def test_a_wrong_parameter_of_a_preset_is_said_with_its_file(
    command: Command, photo: str, monkeypatch: pytest.MonkeyPatch, text: str, refusal: str
) -> None:
    file = Path("mine.toml").absolute()
    file.write_text(f"[dream.mist]\n{text}\n[zoom.well]\noctaves = 2\n")
    monkeypatch.setenv("FARM_PRESETS", str(file))
    done = command("dream", photo, "-o", "a.png", "--preset", "mist")
    assert done.code == 2
    assert f"preset 'mist' in {file}: " in done.errors
    assert refusal in done.errors
    (found,) = findings()
    assert found.startswith(f"[dream.mist]: {refusal}")


def test_what_overrides_a_preset_is_refused_by_its_flag(command: Command, photo: str) -> None:
    done = command("dream", photo, "-o", "a.png", "--preset", "strokes", "--step", "-1")
    assert done.errors.startswith("--step: should be greater than 0")


# Sizes


@pytest.mark.parametrize(
    ("inputs", "size", "count"),
    [
        (("photo.png", "other.png"), "60x60", 1),
        (("photo.png", "other.png"), "48x32", 0),
        (("photo.png",), "50%", 0),
        (("blank:20x10",), "60x60", 0),
    ],
)
def test_a_size_that_squeezes_pictures_is_said_once(
    command: Command, photo: str, inputs: tuple[str, ...], size: str, count: int
) -> None:
    Path("other.png").write_bytes(Path(photo).read_bytes())
    done = command("dream", *inputs, "-o", "out/", "--size", size, "--dry-run", *QUICK)
    assert done.code == 0, done.errors
    assert done.errors.count("squeezes or stretches it, as it is 96x64; long=60 keeps") == count
    assert done.errors.count("squeezes or") == count


def test_a_size_that_squeezes_a_film_is_said(command: Command, clip: Callable[..., str]) -> None:
    clip("clip.mp4", times=range(2))
    done = command("dream", "clip.mp4", "-o", "o.mp4", "--size", "60x90", "--dry-run", *QUICK)
    assert done.errors.count("`size` 60x90 squeezes or stretches it") == 1
