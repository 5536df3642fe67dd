"""The digests of what a job depends on: in its key, in what changed, and before it replaces them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from farm.errors import BadInput, BadOutput, BadParameter
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import Notice, ReadProgress
from farm.model.job import JobSpec, changes, weights_key
from farm.model.work import Render
from farm.planning.contents import run_inputs
from farm.planning.inputs import list_inputs
from farm.planning.submission import Planner, Submission
from farm.storage import FileDigests, sha256_file
from farm_networks import starter

from ..clips import clip  # noqa: TID252 - shared between rooms
from ..workbench import ledger, ledger_url  # noqa: TID252 - shared between rooms

__all__ = ["clip", "ledger", "ledger_url"]

Plan = Callable[..., Submission]


@pytest.fixture
def plan(ledger: Ledger, events: list[ReadProgress | Notice]) -> Plan:
    planner = Planner(Registry.load(), ledger, events.append)

    def run(
        task: str, source: str, output: Path | str, *, resume: bool = False, **params: object
    ) -> Submission:
        spec = JobSpec(task=task, inputs=(source,), output=str(output), params=params)
        return planner.plan(spec, 1.0, resume=resume)

    return run


@pytest.fixture
def events() -> list[ReadProgress | Notice]:
    return []


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    path = tmp_path / "guide.png"
    path.write_bytes(b"a bird")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_text(name)
    return folder


def test_a_job_knows_the_content_of_its_files_and_of_its_network(
    plan: Plan, guide: Path, tmp_path: Path
) -> None:
    spec = plan("dream", "blank:64x64", tmp_path / "out.png", guide=str(guide)).job.spec
    assert spec.files == {
        str(guide): sha256_file(guide),
        weights_key("starter"): starter.SHA256,
    }
    assert spec.films == {}


def test_files_that_are_named_in_another_way_count(plan: Plan, guide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    mixed = plan("style", "blank:64x64", out, styles=[f"{guide}=0.5"], start=str(guide)).job.spec
    assert mixed.files[str(guide)] == sha256_file(guide)
    fast = plan("style", "blank:64x64", out, fast="eddies").job.spec
    assert [Path(path).name for path in fast.files] == ["eddies.safetensors"]


def test_the_key_depends_on_the_content_of_files(plan: Plan, guide: Path, tmp_path: Path) -> None:
    def key() -> str:
        return plan("dream", "blank:64x64", tmp_path / "out.png", guide=str(guide)).job.spec.key

    before = key()
    guide.touch()
    assert key() == before
    guide.write_bytes(b"a fish")
    assert key() != before


def test_the_key_depends_on_the_weights_of_a_network() -> None:
    spec = JobSpec(task="dream", inputs=("in",), output="out")
    keys = {spec.model_copy(update={"files": {"network starter": sha}}).key for sha in ("1", "2")}
    assert len(keys) == 2


def test_the_key_does_not_depend_on_what_films_contain() -> None:
    spec = JobSpec(task="dream", inputs=("in",), output="out")
    assert spec.model_copy(update={"films": {"in": "1"}}).key == spec.key


def test_a_job_of_an_earlier_farm_has_no_digests() -> None:
    spec = JobSpec.model_validate_json('{"task": "dream", "inputs": ["in"], "output": "out"}')
    assert (spec.files, spec.films) == ({}, {})
    now = spec.model_copy(update={"files": {"/guide.jpg": "1"}})
    assert changes(spec, now) == ["the earlier job did not record what its files contained"]


def test_what_has_changed_is_named_with_its_parameter() -> None:
    def spec(**files: str) -> JobSpec:
        params = {"guide": "/in/guide.jpg", "styles": ["/in/waves.jpg=0.5"]}
        names = {"guide": "/in/guide.jpg", "waves": "/in/waves.jpg", "net": "network starter"}
        content = {names[name]: sha for name, sha in files.items()}
        return JobSpec(task="t", inputs=("a",), output="b", params=params, files=content)

    before = spec(guide="1", waves="1", net="1")
    assert changes(before, spec(guide="2", waves="1", net="1")) == [
        "guide changed: guide.jpg has different content"
    ]
    assert changes(before, spec(guide="1", waves="2", net="2")) == [
        "styles changed: waves.jpg has different content",
        "network starter has different content",
    ]


def test_a_film_that_changes_while_it_is_read_is_refused(
    ledger: Ledger, tmp_path: Path, clip: Callable[..., str]
) -> None:
    def grow(_: ReadProgress | Notice) -> None:
        with Path(source).open("ab") as file:
            file.write(b"more")

    source = clip("clip.mp4")
    planner = Planner(Registry.load(), ledger, grow)
    spec = JobSpec(task="dream", inputs=(source,), output=str(tmp_path / "out.mp4"))
    with pytest.raises(BadInput, match=r"clip\.mp4: it changed while it was read; wait until"):
        planner.plan(spec, 1.0)


def test_the_films_of_a_job_are_known(plan: Plan, tmp_path: Path, clip: Callable[..., str]) -> None:
    source = clip("clip.mp4")
    submission = plan("dream", source, tmp_path / "out.mp4")
    spec = submission.job.spec
    assert spec.films == {source: sha256_file(Path(source))}
    assert spec.known_files(source)[source] == spec.films[source]
    assert source not in spec.known_files("")
    frames = [entry.unit for entry in submission.units if isinstance(entry.unit.work, Render)]
    assert {unit.source for unit in frames} == {source}


def test_a_run_counts_its_inputs_and_folders_and_reports_reading_them(
    plan: Plan, guide: Path, photos: Path, tmp_path: Path, events: list[ReadProgress | Notice]
) -> None:
    spec = plan("train-style", str(guide), tmp_path / "run", photos=str(photos)).job.spec
    assert spec.files[str(guide)] == sha256_file(guide)
    assert spec.files[str(photos)] == FileDigests().sha256(str(photos))
    assert events == [ReadProgress(str(photos), 0.5), ReadProgress(str(photos), 1.0)]


def test_what_has_changed_since_an_earlier_run_is_said(
    plan: Plan,
    ledger: Ledger,
    guide: Path,
    photos: Path,
    tmp_path: Path,
    events: list[ReadProgress | Notice],
) -> None:
    words = "train-style", str(guide), tmp_path / "run"
    earlier = plan(*words, photos=str(photos), steps=100)
    ledger.add(earlier.job, earlier.units)
    (photos / "c.jpg").write_text("c")
    plan(*words, resume=True, photos=str(photos), steps=200)
    (notice,) = (event for event in events if isinstance(event, Notice))
    assert notice == Notice(
        str(tmp_path / "run"),
        "the last job in this folder differs: steps changed from 100 to 200; photos changed: "
        "photos has different content",
    )


def test_a_run_that_is_to_be_resumed_is_checked_with_the_digests_of_its_files(
    ledger: Ledger, guide: Path, photos: Path, tmp_path: Path
) -> None:
    checked = list[JobSpec]()
    planner = Planner(Registry.load(), ledger, lambda _: None, check_resumed=checked.append)
    spec = JobSpec(
        task="train-style",
        params={"photos": str(photos)},
        inputs=(str(guide),),
        output=str(tmp_path / "run"),
    )
    planner.plan(spec, 1.0)
    assert checked == []
    planner.plan(spec, 1.0, resume=True)
    assert [spec.files[str(photos)] for spec in checked] == [FileDigests().sha256(str(photos))]


def test_a_run_that_is_given_a_pattern_counts_each_file(photos: Path) -> None:
    pattern = str(photos / "*.jpg")
    sources = list_inputs([pattern, "blank:4x4"])
    assert [*run_inputs([pattern, "blank:4x4"], sources)] == [
        str(photos / "a.jpg"),
        str(photos / "b.jpg"),
    ]
    assert [*run_inputs([str(photos)], list_inputs([str(photos)]))] == [str(photos)]


def test_a_missing_file_is_refused_before_work_starts(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=r"guide: no such file: .*guide\.png; check the name"):
        plan("dream", "blank:64x64", tmp_path / "out.png", guide=str(tmp_path / "guide.png"))


@pytest.mark.parametrize("name", ["guide", "mask", "styles", "masks", "start", "fast", "weights"])
def test_an_output_does_not_replace_a_file_that_a_parameter_names(
    name: str, plan: Plan, tmp_path: Path
) -> None:
    suffix = ".safetensors" if name == "fast" else ".png"
    named, other = tmp_path / f"named{suffix}", tmp_path / "other.png"
    named.write_bytes(b"a bird")
    (tmp_path / "link.png").hardlink_to(named)
    other.write_bytes(b"a fish")
    value: object = [str(named)] if name in {"styles", "masks"} else str(named)
    task = "dream" if name in {"guide", "mask", "weights"} else "style"
    params = {name: value}
    if name in {"masks", "start"}:
        params["styles"] = [str(other)]
    outputs = (tmp_path / "link.png", *([named] if suffix == ".png" else []))
    for output in outputs:
        with pytest.raises(BadOutput, match="this is also an input; choose another path"):
            plan(task, "blank:64x64", output, **params)
    plan(task, "blank:64x64", tmp_path / "new.png", **params)
    assert named.read_bytes() == b"a bird"


def test_numbered_pictures_do_not_replace_a_guide(plan: Plan, tmp_path: Path) -> None:
    guide = tmp_path / "out" / "frame_00002.png"
    guide.parent.mkdir()
    guide.write_bytes(b"a bird")
    stills = tmp_path / "in"
    stills.mkdir()
    for name in ("a.png", "b.png"):
        (stills / name).touch()
    with pytest.raises(BadOutput, match=r"frame_00002\.png: this is also an input"):
        plan("dream", str(stills), tmp_path / "out" / "frame_%05d.png", guide=str(guide))


def test_a_run_does_not_write_into_its_photographs(plan: Plan, guide: Path, photos: Path) -> None:
    with pytest.raises(BadOutput, match="photos is an input; choose a path outside it"):
        plan("train-style", str(guide), photos / "run", photos=str(photos))
