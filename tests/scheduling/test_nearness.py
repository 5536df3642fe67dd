"""Workers stay near the frames of a film that they have open, and none is idle for that."""

from farm.model.film import Moment
from farm.model.history import RestoredUnit
from farm.model.unit import Unit, UnitState
from farm.model.work import Before, Render

from ..workbench import Bench, failed  # noqa: TID252 - shared between rooms

S = UnitState


def frame(job: str, number: int) -> RestoredUnit:
    work = Render(Moment(number), number=number)
    return RestoredUnit(Unit(job, f"{job}{number}", f"{job}.mp4", f"{number}", work=work), S.READY)


def submit_film(bench: Bench, frames: int, job: str = "f", priority: int = 50) -> None:
    bench.clock.advance(1)
    bench.submit_restored(job, [frame(job, number) for number in range(frames)], priority)


def submit_coherent_film(bench: Bench, segments: int, frames: int) -> None:
    """Submit segments of a film in which each frame continues the one before."""
    units = list[RestoredUnit]()
    for segment in range(segments):
        for number in range(frames):
            name, previous = f"{segment}.{number}", f"{segment}.{number - 1}"
            before = Before("f.mp4", None, previous) if number else None
            work = Render(Moment(number), number=number, before=before)
            unit = Unit("c", name, "f.mp4", name, (previous,) if number else (), work)
            units.append(RestoredUnit(unit, S.BLOCKED if number else S.READY))
    bench.submit_restored("c", units)


def done_by(bench: Bench, worker: str, frames: int) -> list[str]:
    """Let a worker render this many frames; return their names."""
    names = []
    for _ in range(frames):
        names += bench.units_of(worker)
        bench.succeed(worker)
    return names


def test_workers_begin_stretches_of_their_own_and_go_on_with_them(bench: Bench) -> None:
    submit_film(bench, 96)
    bench.join("w1", "w2", "w3")
    assert bench.units_of("w1", "w2", "w3") == ["f0", "f32", "f64"]
    assert done_by(bench, "w2", 3) == ["f32", "f33", "f34"]
    assert done_by(bench, "w1", 3) == ["f0", "f1", "f2"]


def test_a_worker_whose_stretch_is_done_begins_the_first_one_that_nobody_works_on(
    bench: Bench,
) -> None:
    submit_film(bench, 160)
    bench.join("w1", "w2")
    done_by(bench, "w1", 32)
    assert bench.units_of("w1", "w2") == ["f64", "f32"]


def test_a_worker_joins_the_stretch_of_another_instead_of_being_idle(bench: Bench) -> None:
    submit_film(bench, 5)
    bench.join("w1", "w2", "w3")
    assert bench.units_of("w1", "w2", "w3") == ["f0", "f1", "f2"]


def test_a_worker_goes_on_with_its_stretch_though_an_earlier_one_is_free(bench: Bench) -> None:
    submit_film(bench, 96)
    bench.join("w1", "w2")
    bench.lose("w1")
    assert done_by(bench, "w2", 3) == ["f32", "f33", "f34"]


def test_a_stretch_that_its_worker_left_is_begun_by_the_next(bench: Bench) -> None:
    submit_film(bench, 96)
    bench.join("w1", "w2")
    done_by(bench, "w1", 2)
    bench.lose("w1")
    bench.join("w3")
    assert bench.units_of("w3") == ["f3"]


def test_a_worker_stays_with_its_film_when_no_other_job_has_fewer_workers(bench: Bench) -> None:
    submit_film(bench, 64, "a")
    submit_film(bench, 64, "b")
    bench.join("w1", "w2", "w3")
    assert [bench.job_of(worker) for worker in ("w1", "w2", "w3")] == ["a", "b", "a"]
    bench.succeed("w2")
    bench.join("w4")
    assert [bench.job_of(worker) for worker in ("w2", "w4")] == ["b", "b"]
    bench.succeed("w4")
    assert bench.job_of("w4") == "b"


def test_a_job_without_workers_comes_before_the_film_that_a_worker_has_open(bench: Bench) -> None:
    submit_film(bench, 64, "new")
    bench.join("w1")
    submit_film(bench, 64, "old", priority=90)
    bench.succeed("w1")
    assert bench.job_of("w1") == "old"


def test_each_segment_of_a_coherent_film_stays_on_its_worker(bench: Bench) -> None:
    submit_coherent_film(bench, segments=2, frames=40)
    bench.join("w1", "w2", "idle")
    assert bench.units_of("w1", "w2") == ["0.0", "1.0"]
    for number in range(39):
        assert done_by(bench, "w2", 1) == [f"1.{number}"]
        assert done_by(bench, "w1", 1) == [f"0.{number}"]
    assert "idle" not in bench.held


def test_a_failed_frame_is_retried_by_another_worker_before_it_goes_on(bench: Bench) -> None:
    submit_film(bench, 64)
    bench.join("w1", "w2")
    bench.fail("w1", failed())
    assert bench.units_of("w1") == ["f1"]
    bench.succeed("w2")
    assert bench.units_of("w2") == ["f0"]
    bench.succeed("w2")
    assert bench.units_of("w2") == ["f2"]
