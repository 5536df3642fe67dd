"""Sizes, single frames, dry runs, presets, comparisons and previews, by the command."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from farm.cli.compare import _parsed, _sizes
from farm.cli.display import LineDisplay
from farm.cli.preview import _size, _spread
from farm.cli.tally import Tally
from farm.media import read_record, read_still
from farm.model.events import UnitChanged
from farm.model.messages import Figures
from farm.model.unit import Unit, UnitState

from ..clips import clip  # noqa: TID252 - shared between rooms
from .conftest import Command

__all__ = ["clip"]

QUICK = ("--iterations", "1", "--octaves", "1", "--threads", "1")
SHALLOW = (*QUICK, "--layer", "conv3")
MakeClip = Callable[..., str]


def size_of(file: str) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def test_a_picture_is_rendered_at_another_size(command: Command, photo: str) -> None:
    done = command("dream", photo, "-o", "d.png", "--size", "50%", *SHALLOW)
    assert done.code == 0, done.errors
    assert size_of("d.png") == (48, 32)
    assert "--size=50%" in command("show", "d.png").results


def test_a_size_that_is_none_is_refused_with_examples(command: Command, photo: str) -> None:
    done = command("dream", photo, "-o", "d.png", "--size", "huge")
    assert done.code == 2
    assert "'huge' is not a size; give 1280x720, 1080p (rows), 50%" in done.errors


def test_one_frame_of_a_film_is_that_frame_of_the_film(command: Command, clip: MakeClip) -> None:
    clip("clip.mp4", times=range(6))
    one = command("dream", "clip.mp4", "-o", "four.png", "--frames", "4", *SHALLOW)
    assert one.code == 0, one.errors
    assert command("dream", "clip.mp4", "-o", "all/%d.png", *SHALLOW).code == 0
    assert Path("four.png").read_bytes() == Path("all/4.png").read_bytes()
    record = read_record("four.png")
    assert record is not None
    assert (record["source"]["name"], record["frame"]) == ("clip.mp4", 4)


def test_a_single_frame_cannot_be_coherent(command: Command, clip: MakeClip) -> None:
    clip("clip.mp4", times=range(6))
    words = ("dream", "clip.mp4", "-o", "four.png", "--frames", "4", "--coherence", "flow")
    done = command(*words)
    assert done.code == 2
    assert "--coherence: only applies to films, and a single frame is rendered" in done.errors


def test_a_ledger_that_is_named_and_created_is_said_once(
    command: Command, photo: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = "ledger.db: there was no ledger here; it has been created\n"
    words = ("dream", photo, *SHALLOW, "-o")
    refused = command(*words, "d.png", "--size", "huge")
    assert (refused.errors.count(note), Path("ledger.db").exists()) == (0, False)
    assert [command(*words, f"{n}.png").errors.count(note) for n in (1, 2)] == [1, 0]
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "other-ledger.db"))
    compared = command("compare", photo, "-o", "sheet.png", "--step", "1,2", *SHALLOW)
    assert compared.errors.count(note) == 1, compared.errors
    monkeypatch.delenv("FARM_LEDGER")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert note not in command(*words, "3.png").errors
    assert (tmp_path / "state" / "farm" / "ledger.db").is_file()


@pytest.mark.parametrize(
    ("ledger", "reason"),
    [
        ("postgres:/me:secret@host/farm", "postgres:... is not a database URL; use sqlite:///FILE"),
        ("postgress://me:secret@host/farm", "there is no postgress ledger; use sqlite:///FILE"),
    ],
)
def test_a_misspelt_database_url_is_no_file(
    command: Command, photo: str, monkeypatch: pytest.MonkeyPatch, ledger: str, reason: str
) -> None:
    monkeypatch.setenv("FARM_LEDGER", ledger)
    before = set(Path().iterdir())
    done = command("dream", photo, "-o", "d.png", *SHALLOW)
    assert done.code == 2
    assert reason in done.errors
    assert " or postgresql://HOST/NAME; set FARM_LEDGER to another database" in done.errors
    assert "secret" not in done.errors
    assert set(Path().iterdir()) == before


def test_a_dry_run_renders_nothing_and_knows_the_time_after_a_first_job(
    command: Command, photo: str
) -> None:
    def asked() -> dict[str, object]:
        words = ("dream", photo, "-o", "next.png", "--dry-run", "--json", *SHALLOW)
        answer: dict[str, object] = json.loads(command(*words).results)
        return answer

    assert asked()["seconds"] is None
    assert not Path("ledger.db").exists()
    assert command("dream", photo, "-o", "d.png", *SHALLOW).code == 0
    known = asked()
    assert (known["units"], known["pixels"], known["based_on"]) == (1, 96 * 64, 1)
    assert known["seconds"] is not None
    assert not Path("next.png").exists()
    said = command("dream", photo, "-o", "next.png", "--dry-run", *SHALLOW).results
    assert said.startswith("would render 1 frame, 6,144 pixels\ntime: about ")


def test_a_dry_run_says_that_measuring_the_flicker_comes_on_top(
    command: Command, photo: str
) -> None:
    for number in range(2):
        Path(f"{number}.png").write_bytes(Path(photo).read_bytes())
    words = ("dream", "%d.png", "-o", "film.mkv", *SHALLOW)
    assert command(*words).code == 0
    told = "at the end, the flicker is measured, which is not part of the time"
    coherent = command(*words, "--overwrite", "--dry-run", "--coherence", "flow").results
    assert "time: about" in coherent
    assert told in coherent.splitlines()
    assert told not in command(*words, "--overwrite", "--dry-run").results


def test_a_dry_run_is_refused_as_the_job_would_be(command: Command, photo: str) -> None:
    done = command("dream", photo, "-o", "d.png", "--dry-run", "--layer", "inception9z")
    assert done.code == 2
    assert "inception9z" in done.errors


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("dream photo.png -o d.png --resume --overwrite", "--resume and --overwrite exclude each"),
        ("dream photo.png -o d.png --dry-run --preview", "--dry-run and --preview exclude each"),
        ("dream photo.png -o d.png --like a.png --preset ink", "--like and --preset exclude each"),
        ("zoom photo.png -o z.mp4 --preview", "--preview: zoom needs all frames before one"),
        (f"compare photo.png -o s.png --seed {','.join('1' * 101)}", "101 pictures are too many"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_rendered(
    words: str, reason: str, command: Command, photo: str
) -> None:
    done = command(*words.split())
    assert done.code == 2
    assert reason in done.errors
    assert [path.name for path in Path().glob("*.png")] == [photo]


def test_a_preview_shows_24_inputs_and_says_that_there_are_more(command: Command) -> None:
    Path("photos").mkdir()
    for number in range(25):
        Image.new("RGB", (16, 16), (10 * number, 80, 40)).save(f"photos/{number:02}.png")
    done = command("dream", "photos", "-o", "dreams/", "--preview", *SHALLOW)
    assert done.code == 0, done.errors
    assert done.results == "previewed 24; output: dreams-preview.png\n"
    assert "only the first 24 of 25 inputs are previewed" in done.errors


def test_a_preset_sets_parameters_and_flags_override_them(command: Command, photo: str) -> None:
    assert command("dream", photo, "-o", "d.png", "--preset", "strokes", *QUICK).code == 0
    record = read_record("d.png")
    assert record is not None
    assert record["params"]["layers"] == ["conv3"]
    assert record["params"]["octaves"] == 1


def test_users_have_presets_of_their_own(
    command: Command, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mine.toml"
    table.write_text('[dream.mist]\nlayers = ["conv2"]\noctaves = 1\niterations = 1\n')
    monkeypatch.setenv("FARM_PRESETS", str(table))
    assert command("dream", photo, "-o", "d.png", "--preset", "mist").code == 0
    record = read_record("d.png")
    assert record is not None
    assert record["params"]["layers"] == ["conv2"]
    table.write_text(table.read_text() + "[style]\nstrength = 0.5\n")  # no preset
    assert command("dream", photo, "-o", "f.png", "--preset", "mist").code == 0
    table.write_text("dream = 3")
    done = command("dream", photo, "-o", "e.png", "--preset", "mist")
    assert done.code == 2
    assert f"{table}: a preset is a table such as [dream.mine]" in done.errors


def test_an_unknown_preset_is_refused_with_a_guess(command: Command, photo: str) -> None:
    done = command("dream", photo, "-o", "d.png", "--preset", "stroks")
    assert (done.code, done.errors) == (2, "unknown preset 'stroks'; did you mean strokes?\n")


def test_compare_renders_each_combination_on_one_sheet(command: Command, photo: str) -> None:
    words = ("--layer", "conv2,conv3", "--step", "1,3", "--size", "60x40", *QUICK)
    done = command("compare", photo, "-o", "sheet.png", *words)
    assert done.code == 0, done.errors
    assert "[2/4] photo layer=conv2 step=3  " in done.errors
    assert "[3/4] photo layer=conv3 step=1  " in done.errors
    sheet = read_still("sheet.png").pixels
    assert sheet.shape[1] == 2 * (60 + 6) + 6
    cells = [sheet[6:46, left : left + 60] for left in (6, 72)]
    assert np.abs(cells[0] - cells[1]).mean() > 0.001


def test_pictures_that_are_only_looked_at_are_not_listed(command: Command, photo: str) -> None:
    words = ("--layer", "conv2,conv3", "--size", "60x40", *QUICK)
    assert command("compare", photo, "-o", "sheet.png", *words).code == 0
    assert command("dream", photo, "-o", "d.png", "--preview", *SHALLOW).code == 0
    assert command("jobs", "--json").results == "[]\n"
    asked = command("dream", photo, "-o", "d.png", "--dry-run", *SHALLOW)
    assert "time: about" in asked.results


def test_compare_renders_and_lists_nothing_if_one_combination_is_refused(
    command: Command, photo: str
) -> None:
    words = ("--layer", "conv2,conv3,cnv4", "--size", "60x40", *QUICK)
    done = command("compare", photo, "-o", "sheet.png", *words)
    assert (done.code, done.errors.count("\n")) == (2, 1), done.errors
    assert "cnv4" in done.errors
    assert command("jobs", "--json").results == "[]\n"


def test_a_sheet_replaces_a_sheet_and_nothing_else(command: Command, photo: str) -> None:
    before = Path(photo).read_bytes()
    for words in (("compare", photo, "-o", photo), ("dream", photo, "-o", "d.png", "--preview")):
        Path("d-preview.png").write_bytes(before)
        done = command(*words, *SHALLOW)
        assert done.code == 2
    assert "it exists, and is no sheet of the farm; choose another path" in done.errors
    assert Path(photo).read_bytes() == before == Path("d-preview.png").read_bytes()
    for _ in range(2):
        words = ("compare", photo, "-o", "sheet.png", "--size", "60x40", *SHALLOW)
        assert command(*words).code == 0
    done = command("compare", "sheet.png", "-o", "sheet.png", *SHALLOW)
    assert "this is also an input" in done.errors


def test_a_switch_to_compare_takes_no_value() -> None:
    switch = click.Option(["--sharp/--no-sharp"])
    sizes = _sizes(click.Command("effect", params=[switch]))
    words = ["a.png", "--no-sharp", "--step", "1,2"]
    assert _parsed(sizes, words) == ("a.png", {"--no-sharp": [""], "--step": ["1", "2"]})


def test_compare_takes_options_with_several_numbers(command: Command, photo: str) -> None:
    neurons = ("--neuron", "0.5", "0.5", "--neuron", "0.1", "0.9")
    words = ("--channel", "1", *neurons, "--size", "60x40", *QUICK)
    done = command("compare", photo, "-o", "sheet.png", *words)
    assert done.code == 0, done.errors
    assert "[2/2] photo neuron=0.1 0.9  " in done.errors


def test_compare_asks_for_the_frame_of_a_film(command: Command, clip: MakeClip) -> None:
    clip("clip.mp4", times=range(4))
    done = command("compare", "clip.mp4", "-o", "sheet.png", "--step", "1,2", *SHALLOW)
    assert done.code == 2
    assert done.errors == ("clip.mp4 is a film; add the frame to compare, such as --frames 24\n")
    words = ("--step", "1,2", "--frames", "3", "--size", "60x40", *SHALLOW)
    assert command("compare", "clip.mp4", "-o", "sheet.png", *words).code == 0


def test_compare_refuses_a_flag_that_the_effect_does_not_have(command: Command, photo: str) -> None:
    done = command("compare", photo, "-o", "sheet.png", "--layr", "conv2,conv3")
    assert done.code == 2
    assert "--layr" in done.errors


def test_a_preview_shows_frames_from_all_of_a_film_no_larger_than_they_are(
    command: Command, clip: MakeClip
) -> None:
    clip("clip.mp4", times=range(16), sound="aac")
    done = command("dream", "clip.mp4", "-o", "dream.mp4", "--preview", *SHALLOW)
    assert done.code == 0, done.errors
    assert not Path("dream.mp4").exists()
    assert size_of("dream-preview.png")[0] == 4 * (96 + 6) + 6
    assert "farm-" not in done.errors  # no name of a working file
    assert "sound" not in done.errors  # dream.mp4 will have it


def test_a_preview_shows_each_frame_of_a_coherent_film_by_itself(
    command: Command, clip: MakeClip
) -> None:
    clip("clip.mp4", times=range(8))
    done = command("echoes", "clip.mp4", "-o", "echoes.mp4", "--preview")
    assert done.code == 0, done.errors
    assert "each frame is previewed by itself, as if its film began there" in done.errors
    cells = np.split(read_still("echoes-preview.png").pixels[6:46, 3:-3], 4, axis=1)
    assert all(cell[:, 6:-6].mean() > 0.1 for cell in cells)


def test_a_preview_shows_the_size_and_the_frames_that_were_asked_for(
    command: Command, clip: MakeClip
) -> None:
    clip("clip.mp4", times=range(16))
    asked = ("--size", "50%", "--frames", "7-8")
    done = command("dream", "clip.mp4", "-o", "dream.mp4", "--preview", *asked, *SHALLOW)
    assert done.code == 0, done.errors
    assert size_of("dream-preview.png")[0] == 2 * (48 + 6) + 6


def test_a_preview_of_a_film_that_was_turned_is_not_squashed(
    command: Command, clip: MakeClip
) -> None:
    clip("clip.mp4", times=range(2), width=1200, height=96, rotation=90)
    asked = ("--size", "50%", "--frames", "1")
    done = command("dream", "clip.mp4", "-o", "dream.mp4", "--preview", *asked, *SHALLOW)
    assert done.code == 0, done.errors
    width, height = size_of("dream-preview.png")
    assert width == (38 + 6) + 6
    assert height >= 480


@pytest.mark.parametrize(
    ("asked", "small"),
    [(None, None), ("300x200", "300x200"), ("200%", "480x360"), ("960x480", "480x240")],
)
def test_a_preview_is_as_large_as_the_result_or_480_pixels(
    asked: str | None, small: str | None
) -> None:
    assert _size(asked, 240, 320) == small
    assert _size(None, 1080, 1920) == "long=480"


@pytest.mark.parametrize(
    ("chosen", "few"),
    [
        (range(16), [3, 7, 11, 15]),
        (range(6, 8), [7, 8]),
        (range(0, 16, 5), [1, 6, 11, 16]),
        (range(9, 10), [10]),
    ],
)
def test_a_preview_spreads_its_frames_over_the_range(chosen: range, few: list[int]) -> None:
    assert list(_spread(chosen)) == few


@pytest.mark.parametrize("given", [(), ("ink",)])
def test_fast_style_takes_its_input_before_or_after_the_flag(
    given: tuple[str, ...], command: Command, photo: str
) -> None:
    done = command("style", "-o", "s.png", "--threads", "1", "--fast", *given, photo)
    assert done.code == 0, done.errors
    record = read_record("s.png")
    assert record is not None
    assert record["params"]["fast"]["name"] == (given or ("eddies",))[0]


def test_a_gif_of_one_frame_carries_a_record(command: Command, clip: MakeClip) -> None:
    clip("clip.mp4", times=range(6))
    assert command("dream", "clip.mp4", "-o", "one.gif", "--frames", "1", *SHALLOW).code == 0
    assert "task\tdream" in command("show", "one.gif").results


def test_off_a_terminal_each_line_says_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now, tally = 0.0, Tally(total=4)
    display = LineDisplay(tally, lambda: now)
    unit = Unit("j", "a", "a.png", "b.png")
    display.on_event(UnitChanged(unit, UnitState.RUNNING, 1))
    now = 20.0
    event = UnitChanged(unit, UnitState.SUCCEEDED, 1, figures=Figures(seconds={"compute": 20.0}))
    tally.on_event(event)
    display.on_event(event)
    assert capsys.readouterr().err == "[1/4] a -> b.png  20.0 s  1:00 left\n"


def test_a_coherent_film_counts_the_frames_that_are_seen(command: Command, clip: MakeClip) -> None:
    clip("clip.mp4", height=32, width=32, times=range(60))
    words = ("dream", "clip.mp4", "-o", "out.mp4", "--coherence", "flow", "--size", "16x16")
    done = command(*words, *SHALLOW, "--jitter", "0")
    assert done.code == 0, done.errors
    assert done.results.startswith("rendered 60; output: ")
    again = command(*words, *SHALLOW, "--jitter", "0", "--resume")
    assert again.results.startswith("rendered 0, skipped 60 already finished; output: ")


def test_a_dry_run_of_a_run_says_what_would_be_trained(command: Command, photo: str) -> None:
    Path("photos").mkdir()
    Path("photos/a.png").write_bytes(Path(photo).read_bytes())
    done = command("train-style", photo, "--photos", "photos", "-o", "run", "--dry-run")
    assert done.code == 0, done.errors
    assert done.results.startswith("would train ")
    assert not Path("run").exists()


CAT = "dream: 'cat' stands for 4 classes: tabby, Persian cat, Egyptian cat, lesser panda\n"


def test_a_word_says_once_which_classes_it_stands_for(command: Command, photo: str) -> None:
    done = command("dream", photo, "-o", "d.png", "--class", "cat", *QUICK)
    assert done.code == 0, done.errors
    assert done.errors.startswith(CAT)
    words = ("--class", "cat", "--step", "1,2", *QUICK)
    assert command("compare", photo, "-o", "sheet.png", *words).errors.count(CAT) == 1


def test_a_word_says_on_standard_output_what_it_stands_for_if_that_is_json(
    command: Command, photo: str
) -> None:
    done = command("dream", photo, "-o", "d.png", "--class", "cat", "--json", *QUICK)
    assert "stands for" not in done.errors
    events = [json.loads(line) for line in done.results.splitlines()]
    notes = [e for e in events if e["event"] == "note" and e["url"] == "dream"]
    assert [f"{note['url']}: {note['note']}\n" for note in notes] == [CAT]


def test_a_zoom_says_which_classes_its_words_stand_for(command: Command, photo: str) -> None:
    words = ("--frames", "1", "--at", "0=tabby", "--at", "1=dog", *QUICK)
    done = command("zoom", photo, "-o", "zoom.mp4", *words)
    assert done.code == 0, done.errors
    assert "zoom: 'dog' stands for one class: German shepherd\n" in done.errors
    assert "'tabby'" not in done.errors
