"""The feed: its order, its random numbers, unreadable pictures, and what runs in the background."""

import threading
from collections.abc import Iterator
from threading import Event

import numpy as np
import pytest
import torch
from torch import Tensor

from farm.engine.training.feed import Feed, notes_on_few
from farm.engine.training.stages import DATA, measured
from farm.errors import BadInput, InputChanged

COUNT = 10


class Numbered:
    """Pictures whose pixels are their number; implements PictureSet. bad: numbers of unreadable ones."""

    categories = ("even", "odd")
    digest = "0" * 64

    def __init__(self, count: int = COUNT, bad: tuple[int, ...] = ()) -> None:
        self.names = [f"{number}.png" for number in range(count)]
        self.labels = [number % 2 for number in range(count)]
        self._bad = bad
        self.read_by: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.names)

    def read(self, number: int) -> np.ndarray:
        self.read_by[number] = threading.current_thread().name
        if number in self._bad:
            raise BadInput(f"set/{self.names[number]}", "damaged picture")
        return np.full((4, 5, 3), number, np.uint8)


def plain(pixels: np.ndarray, _: torch.Generator) -> Tensor:
    return torch.tensor(pixels).permute(2, 0, 1).float()


def noisy(pixels: np.ndarray, generator: torch.Generator) -> Tensor:
    return plain(pixels, generator) + torch.rand(3, 4, 5, generator=generator)


def numbers(pictures: Tensor) -> list[int]:
    return [int(value) for value in pictures[:, 0, 0, 0]]


def test_every_epoch_shows_each_picture_once_in_an_order_of_its_own() -> None:
    with Feed(Numbered(), seed=3, batch=5, prepare=plain) as feed:
        steps = [numbers(feed.batch(step, range(5)).pictures) for step in range(4)]
    first, second = steps[0] + steps[1], steps[2] + steps[3]
    assert sorted(first) == sorted(second) == list(range(COUNT))
    assert first != second


def test_labels_belong_to_their_pictures() -> None:
    with Feed(Numbered(), 0, 6, plain) as feed:
        batch = feed.batch(0, range(6))
    assert [number % 2 for number in numbers(batch.pictures)] == batch.labels.tolist()


def test_a_batch_depends_on_seed_step_and_row_alone() -> None:
    with Feed(Numbered(), 7, 4, noisy) as feed:
        straight = [feed.batch(step, range(4)).pictures for step in range(6)]
    with Feed(Numbered(), 7, 4, noisy, ahead=0, threads=1) as feed:
        for step in (5, 0, 3, 3):
            assert torch.equal(feed.batch(step, range(4)).pictures, straight[step])
    with Feed(Numbered(), 7, 4, noisy) as one, Feed(Numbered(), 7, 4, noisy) as two:
        shared = (one.batch(2, range(2)).pictures, two.batch(2, range(2, 4)).pictures)
    assert torch.equal(torch.cat(shared), straight[2])


def test_waiting_for_pictures_is_a_stage_of_the_step() -> None:
    with Feed(Numbered(), 0, 5, plain) as feed, measured() as seconds:
        feed.batch(0, range(5))
    assert seconds[DATA] > 0


def test_another_seed_means_another_order_and_other_random_numbers() -> None:
    with Feed(Numbered(), 7, 10, plain) as one, Feed(Numbered(), 8, 10, plain) as two:
        orders = [numbers(feed.batch(0, range(10)).pictures) for feed in (one, two)]
    assert orders[0] != orders[1]
    with Feed(Numbered(1), 7, 1, noisy) as one, Feed(Numbered(1), 8, 1, noisy) as two:
        draws = [feed.batch(0, range(1)).pictures for feed in (one, two)]
    assert not torch.equal(*draws)


def test_every_row_of_every_step_has_random_numbers_of_its_own() -> None:
    with Feed(Numbered(1), 0, 2, noisy) as feed:
        pictures = torch.cat([feed.batch(step, range(2)).pictures for step in range(2)])
    assert len({float(picture[0, 0, 0]) for picture in pictures}) == 4


def test_an_unreadable_picture_is_replaced_by_the_next_readable_one_and_noted() -> None:
    with Feed(Numbered(bad=(4, 5, 9)), 0, COUNT, plain) as feed:
        batch = feed.batch(0, range(COUNT))
        assert {4, 5, 9} == {int(name.partition(".")[0]) for name in feed.unreadable}
    with Feed(Numbered(), 0, COUNT, plain) as feed:
        meant = numbers(feed.batch(0, range(COUNT)).pictures)
    replaced = {4: 6, 5: 6, 9: 0}
    assert numbers(batch.pictures) == [replaced.get(number, number) for number in meant]
    assert batch.labels.tolist() == [number % 2 for number in numbers(batch.pictures)]


@pytest.mark.parametrize(
    ("count", "reason"),
    [(1, "damaged picture$"), (3, "damaged picture; nor can any of the other 2 pictures be read$")],
)
def test_a_set_without_a_readable_picture_is_refused(count: int, reason: str) -> None:
    with (
        Feed(Numbered(count, bad=(0, 1, 2)), 0, 2, plain) as feed,
        pytest.raises(BadInput, match=rf"set/\d\.png: {reason}"),
    ):
        feed.batch(0, range(2))


def test_one_picture_makes_a_batch_of_any_size() -> None:
    with Feed(Numbered(1), 0, 3, plain) as feed:
        assert numbers(feed.batch(0, range(3)).pictures) == [0, 0, 0]


class Changed(Numbered):
    def read(self, number: int) -> np.ndarray:
        raise InputChanged(self.names[number], "has changed")


def test_other_errors_of_the_background_are_raised_by_batch() -> None:
    with Feed(Changed(), 0, 2, plain) as feed, pytest.raises(InputChanged):
        feed.batch(0, range(2))
    assert feed.unreadable == {}


def test_following_steps_are_prepared_before_they_are_asked_for() -> None:
    prepared = [Event() for _ in range(4)]

    class Watched(Numbered):
        def read(self, number: int) -> np.ndarray:
            assert threading.current_thread().name.startswith("farm-feed")
            prepared[next(order)].set()
            return super().read(number)

    order: Iterator[int] = iter(range(4))
    with Feed(Watched(), 0, 1, plain, ahead=3, threads=1) as feed:
        feed.batch(0, range(1))
        assert all(event.wait(30) for event in prepared)


def test_the_background_computes_on_one_core_and_changes_no_other_thread() -> None:
    counts = []

    def prepare(pixels: np.ndarray, generator: torch.Generator) -> Tensor:
        counts.append(torch.get_num_threads())
        return plain(pixels, generator)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with Feed(Numbered(), 0, 2, prepare) as feed:
            feed.batch(0, range(2))
            assert torch.get_num_threads() == 3
        assert set(counts) == {1}
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [3]
    finally:
        torch.set_num_threads(before)


def test_leaving_the_block_ends_the_threads_without_preparing_the_rest() -> None:
    started, count = Event(), 0

    def prepare(pixels: np.ndarray, generator: torch.Generator) -> Tensor:
        nonlocal count
        count += 1
        started.set()
        return plain(pixels, generator)

    with Feed(Numbered(), 0, 10_000, prepare) as feed:
        feed.batch(0, range(1))
        feed.batch(50, range(1))
        feed._pool.submit(feed._load, 99, range(10_000))
        started.wait()
    assert count < 10_000
    assert not [t for t in threading.enumerate() if t.name.startswith("farm-feed")]


def test_the_global_random_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    with Feed(Numbered(), 0, 2, noisy) as feed:
        feed.batch(0, range(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_set_that_is_smaller_than_a_batch_is_noted() -> None:
    assert notes_on_few(Numbered(3), 3) == ()
    (note,) = notes_on_few(Numbered(3), 4)
    assert note == (
        "3 pictures are fewer than a batch of 4, so every step repeats some; add pictures, or give a "
        "smaller `batch`"
    )
    assert notes_on_few(Numbered(1), 2)[0].startswith("1 picture is fewer than a batch of 2")
