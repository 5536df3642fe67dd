"""Outputs that exist are refused before any work, unless the user resumes or overwrites."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farm.errors import BadOutput
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import Notice, ReadProgress, UnitChanged
from farm.model.job import JobSpec
from farm.model.messages import Figures
from farm.model.unit import UnitState
from farm.planning.existing import check_free
from farm.planning.submission import Planner, Submission
from farm.storage import Entry, FileDigests, add_schemes, open_whole

from ..clips import clip  # noqa: TID252 - shared between rooms
from ..fake_storage import SCHEME, FolderStorage  # noqa: TID252 - shared between rooms
from ..workbench import ledger, ledger_url, pictures  # noqa: TID252 - shared between rooms

__all__ = ["clip", "ledger", "ledger_url", "pictures"]

Plan = Callable[..., Submission]


@pytest.fixture
def events() -> list[ReadProgress | Notice]:
    return []


@pytest.fixture
def plan(ledger: Ledger, events: list[ReadProgress | Notice]) -> Plan:
    planner = Planner(Registry.load(), ledger, events.append)

    def run(
        source: Path | str, output: Path | str, *, resume: bool = False, overwrite: bool = False
    ) -> Submission:
        spec = JobSpec(task="dream", inputs=(str(source),), output=str(output), overwrite=overwrite)
        return planner.plan(spec, 1.0, resume=resume)

    return run


ADVICE = "add --resume to keep what is finished, or --overwrite to replace it"


def test_a_still_that_exists_is_refused_and_kept(
    plan: Plan, pictures: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"yesterday")
    message = f"cannot write {target}: it exists; {ADVICE}"
    with pytest.raises(BadOutput, match=f"^{re.escape(message)}$"):
        plan(pictures / "a.png", target)
    assert target.read_bytes() == b"yesterday"


@pytest.mark.parametrize("choice", ["resume", "overwrite"])
def test_either_flag_plans_it_all_the_same(
    choice: str, plan: Plan, ledger: Ledger, pictures: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.png"
    earlier = plan(pictures / "a.png", target)
    ledger.add(earlier.job, earlier.units)
    target.touch()
    (restored,) = plan(pictures / "a.png", target, **{choice: True}).units
    assert restored.unit.target == str(target)


GREY = """
from farm import Effect, hookimpl

class Grey(Effect):
    \"\"\"Grey.\"\"\"
    name = "grey"
    def render(self, image, context):
        return image * 0 + {level}

@hookimpl
def farm_tasks():
    return [Grey]
"""


def finish_first(ledger: Ledger, submission: Submission) -> None:
    """Write the file of a job's first unit, and record it as done."""
    unit = submission.units[0].unit
    Path(unit.target).write_bytes(b"done")
    digests = FileDigests()
    figures = Figures(
        source_sha256=digests.sha256(unit.source), target_sha256=digests.sha256(unit.target)
    )
    ledger.record([UnitChanged(unit, UnitState.SUCCEEDED, 1, figures=figures)], 2.0)


def test_resuming_says_that_the_plugin_has_changed(
    ledger: Ledger, events: list[ReadProgress | Notice], pictures: Path, tmp_path: Path
) -> None:
    def plan(level: float) -> None:
        (tmp_path / "own" / "tones.py").write_text(GREY.format(level=level))
        planner = Planner(Registry.load(tmp_path / "own"), ledger, events.append)
        inputs = tuple(str(pictures / name) for name in ("a.png", "b.png"))
        spec = JobSpec(task="grey", inputs=inputs, output=f"{tmp_path}/out/")
        submission = planner.plan(spec, 1.0, resume=True)
        ledger.add(submission.job, submission.units)
        if submission.units[0].state is UnitState.READY:
            finish_first(ledger, submission)

    (tmp_path / "own").mkdir()
    (tmp_path / "out").mkdir()
    plan(0.25)
    plan(0.25)
    assert events == []
    plan(0.5)
    (notice,) = events
    assert isinstance(notice, Notice)
    assert re.search("kept that plugin tones [0-9a-f]{12} rendered; it is tones", notice.note)


def test_a_file_that_no_job_has_written_is_not_resumed(
    plan: Plan, pictures: Path, tmp_path: Path
) -> None:
    target = tmp_path / "holiday.png"
    target.write_bytes(b"mine")
    reason = r"holiday\.png: it exists; no job in this ledger has written it, so --resume does not"
    with pytest.raises(BadOutput, match=reason):
        plan(pictures / "a.png", target, resume=True)
    assert target.read_bytes() == b"mine"


def test_a_folder_is_refused_for_any_picture_that_it_has(
    plan: Plan, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "older.png").touch()
    assert len(plan(pictures, f"{out}/").units) == 3
    (out / "b.png").touch()
    with pytest.raises(BadOutput, match=re.escape(f"{out / 'b.png'}: it exists; {ADVICE}")):
        plan(pictures, f"{out}/")
    (out / "c.png").touch()
    with pytest.raises(BadOutput, match="it exists, and so does 1 more of the 3 outputs; add"):
        plan(pictures, f"{out}/")


@pytest.mark.parametrize("count", [1, 100])
def test_a_link_that_leads_nowhere_is_an_output_that_exists(tmp_path: Path, count: int) -> None:
    targets = [f"{tmp_path}/{number}.png" for number in range(count)]
    check_free(targets)
    Path(targets[-1]).symlink_to(tmp_path / "gone.png")
    with pytest.raises(BadOutput, match=re.escape(f"{targets[-1]}: it exists; {ADVICE}")):
        check_free(targets)


def test_numbered_pictures_are_refused_for_those_that_would_be_written(
    plan: Plan, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "f_9.png").touch()
    assert len(plan(pictures, out / "f_%d.png").units) == 3
    (out / "f_3.png").touch()
    with pytest.raises(BadOutput, match=r"f_3\.png: it exists; add"):
        plan(pictures, out / "f_%d.png")


@pytest.mark.parametrize("output", ["out.mp4", "out/"])
def test_a_film_is_refused_before_the_source_is_read(
    output: str,
    plan: Plan,
    events: list[ReadProgress | Notice],
    tmp_path: Path,
    clip: Callable[..., str],
) -> None:
    source = clip("clip.mp4")
    (tmp_path / "out").mkdir()
    for name in ("out.mp4", "out/clip.mp4"):
        (tmp_path / name).touch()
    events.clear()
    with pytest.raises(BadOutput, match=r"\.mp4: it exists; add"):
        plan(source, f"{tmp_path}/{output}")
    assert events == []


def test_a_few_outputs_at_urls_are_looked_up_and_many_are_listed_once(tmp_path: Path) -> None:
    listed: list[str] = []

    class Listed(FolderStorage):
        def entries(self, folder: str, starts: str = "") -> Iterator[Entry]:
            listed.append(folder)
            return super().entries(folder, starts)

    add_schemes({"folder": Listed})
    out = f"{SCHEME}{tmp_path}/out"
    with open_whole(f"{out}/7.png") as file:
        file.write(b"yesterday")
    few, many = ([f"{out}/{number}.png" for number in range(count)] for count in (9, 900))
    for urls in (few, many):
        with pytest.raises(BadOutput, match=r"7\.png: it exists"):
            check_free(urls)
        assert listed.count(f"{out}/") <= 2 * (urls is many)  # once to see whether it is there
    assert listed
