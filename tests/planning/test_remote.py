"""Inputs and outputs at URLs are found, named and checked as on a disk."""

from pathlib import Path
from typing import Any

import pytest

from farm.errors import BadInput, BadOutput
from farm.model.events import Notice
from farm.planning.contents import run_inputs
from farm.planning.inputs import Source, list_inputs
from farm.planning.outputs import Inputs, check_output, check_run_folder, target_for
from farm.planning.working_folder import working_folder
from farm.storage import FileDigests

FILES = (
    *("a/frame2.png", "a/frame10.png", "a/Frame1.JPG", "a/notes.txt", "a/.hidden.png"),
    *("a/inside/frame2.png", "b/frame2.png", "b/clip.mp4", "b/x[1].png"),
    *("s/f_0001.png", "s/f_0003.png", "s/f_3.png"),
)


@pytest.fixture
def both(folder_storage: Any, tmp_path: Path) -> tuple[str, str]:
    """The same files on a disk and in a remote storage; where they are."""
    for name in FILES:
        folder_storage.put(name, name.encode())
        (tmp_path / "disk" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "disk" / name).write_bytes(name.encode())
    return str(tmp_path / "disk"), folder_storage.root


def listed(root: str, *given: str) -> tuple[list[Source], list[str]]:
    """Return the inputs without the root, and the notes on what is left out."""
    notes: list[str] = []

    def notify(notice: Notice) -> None:
        notes.append(notice.note.replace(root, ""))

    sources = list_inputs([f"{root}/{name}" for name in given], notify)
    return [Source(s.name, s.url.removeprefix(root), s.number) for s in sources], notes


@pytest.mark.parametrize(
    "given",
    [
        ("a",),
        ("a/",),
        ("a", "b"),
        ("a/*",),
        ("**/frame*.png",),
        ("?/frame2.png",),
        ("a/frame10.png", "b/frame2.png"),
        ("s/f_%d.png",),
        ("s/f_####.png",),
        ("b/x[1].png",),
    ],
)
def test_the_same_inputs_are_found_in_the_same_order_under_the_same_names(
    both: tuple[str, str], given: tuple[str, ...]
) -> None:
    here, there = (listed(root, *given) for root in both)
    assert here == there
    assert here[0]


@pytest.mark.parametrize("given", ["gone.png", "a/*.tif", "s/g_%d.png", "a/inside/gone/"])
def test_the_same_inputs_are_refused(both: tuple[str, str], given: str) -> None:
    reasons = []
    for root in both:
        with pytest.raises(BadInput) as refusal:
            list_inputs([f"{root}/{given}"])
        reasons.append(refusal.value.reason)
    assert reasons[0] == reasons[1] or "no such file" in reasons[1]


def test_a_file_comes_before_the_folder_of_its_name(folder_storage: Any) -> None:
    url = folder_storage.put("a.png")
    folder_storage.put("a.png/b.png")
    assert [source.url for source in list_inputs([url])] == [url]
    assert [source.url for source in list_inputs([f"{url}/"])] == [f"{url}/b.png"]


@pytest.mark.parametrize("output", ["out.png", "out/", "out", "a", "b/clip.png"])
def test_targets_are_chosen_as_on_a_disk(both: tuple[str, str], output: str) -> None:
    here, there = both
    targets = []
    for root in both:
        source = Source("frame2", f"{root}/a/frame2.png")
        targets.append(target_for(source, f"{root}/{output}", many=False).removeprefix(root))
    assert targets[0] == targets[1]
    assert working_folder(f"{there}/out.mp4").removeprefix(there) == working_folder(
        f"{here}/out.mp4"
    ).removeprefix(here)


def test_an_output_replaces_no_input_at_a_url(both: tuple[str, str]) -> None:
    _, root = both
    source = Source("frame2", f"{root}/a/frame2.png")
    with pytest.raises(BadOutput, match="this is also an input"):
        check_output(source.url, [source])
    with pytest.raises(BadOutput, match="this folder contains inputs"):
        check_output(f"{root}/a/f_%d.png", [source])
    with pytest.raises(BadOutput, match=r"the folder .*/a is an input; choose a path outside it"):
        Inputs([f"{root}/a/"]).check([f"{root}/a/inside/new.png"])
    check_output(f"{root}/other.png", [source])


def test_an_output_that_the_storage_refuses_is_said_before_any_work(folder_storage: Any) -> None:
    for output in ("x.png", "x/", "x_%d.png", "x.mp4"):
        refused = f"{folder_storage.root}/.refuse/{output}"
        with pytest.raises(BadOutput, match="denies access; check the keys") as refusal:
            check_output(refused, [])
        assert refusal.value.target == refused
    with pytest.raises(BadOutput, match="denies access"):
        check_run_folder(f"{folder_storage.root}/.refuse/run", is_resumed=True)


def test_the_folder_of_a_new_run_is_empty(folder_storage: Any) -> None:
    run = f"{folder_storage.root}/run"
    check_run_folder(run, is_resumed=False)
    folder_storage.put("run/.farm-job-0123.claim")
    check_run_folder(run, is_resumed=False)
    folder_storage.put("run/run.json")
    with pytest.raises(BadOutput, match="not empty; add --resume to resume the run in it"):
        check_run_folder(run, is_resumed=False)
    check_run_folder(run, is_resumed=True)


def test_a_folder_counts_by_its_content_wherever_it_is(both: tuple[str, str]) -> None:
    here, there = (FileDigests().sha256(f"{root}/a") for root in both)
    assert here == there
    assert [*run_inputs([f"{both[1]}/a"], [])] == [f"{both[1]}/a"]
