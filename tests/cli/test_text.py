"""Text from outside can neither control a terminal nor break a message."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.cli.display import BarDisplay, LineDisplay
from farm.cli.table import show_table
from farm.cli.tally import Tally
from farm.cli.text import one_word, plain
from farm.model.events import News, Notice, Progressed, ReadProgress, UnitChanged
from farm.model.messages import UnitProgress
from farm.model.unit import Unit, UnitState

EVIL = "a\x1b[31m\x07\x9b2J\x7f\u202egpj\u2066\r\nb\udce9"
SHOWN = r"a\x1b[31m\x07\x9b2J\x7f\u202egpj\u2066\r\nb\xe9"


def test_control_characters_and_broken_bytes_become_escapes() -> None:
    assert plain(EVIL) == SHOWN


@pytest.mark.parametrize("text", ["crème brûlée.png", "猫.jpg", "emoji 🎨", "שלום", ""])
def test_other_text_is_unchanged(text: str) -> None:
    assert plain(text) == text


@given(st.text(alphabet=st.characters(exclude_categories=[]), min_size=1))
def test_plain_text_is_one_printable_line_in_any_encoding(text: str) -> None:
    shown = plain(text)
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert plain(shown) == shown


@given(st.binary(min_size=1).filter(lambda data: b"\0" not in data))
def test_a_word_of_a_printed_command_is_the_same_word_to_a_shell(data: bytes) -> None:
    word = one_word(data.decode("utf-8", "surrogateescape"))
    assert plain(word) == word
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == data


UNIT = Unit("job", EVIL, EVIL, f"/out/{EVIL}.png")
EVENTS: dict[str, News] = {
    "notice": Notice(EVIL, EVIL),
    "reading": ReadProgress(EVIL, 0.5),
    "written": UnitChanged(UNIT, UnitState.SUCCEEDED, 1),
    "retried": UnitChanged(UNIT, UnitState.RETRY_WAIT, 1, EVIL),
}


@pytest.mark.parametrize("name", EVENTS)
def test_lines_of_a_job_are_plain(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    LineDisplay(Tally()).on_event(EVENTS[name])
    shown = capsys.readouterr().err
    assert SHOWN in shown
    assert plain(shown.removesuffix("\n")) == shown.removesuffix("\n")


@pytest.mark.parametrize("name", [*EVENTS, "progress"])
def test_bars_of_a_job_are_plain(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")
    events = EVENTS | {"progress": Progressed(UNIT, UnitProgress("w", "t", 0.5, EVIL))}
    display = BarDisplay(Tally())
    display.on_event(events[name])
    display.close()
    shown = capsys.readouterr().err
    assert not {"\x1b[31ma", "\x07", "\x9b", "\x7f", "\u202e", "\u2066"} & {*shown}
    assert "a\x1b[31m" not in shown


def test_tables_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([{"field": EVIL, "value": [EVIL, EVIL]}], ("field", "value"))
    _, line = capsys.readouterr().out.splitlines()
    assert [plain(cell) for cell in line.split("\t")] == line.split("\t")
