"""Which run begins next on a pool of devices: no device twice, none idle while something fits, nobody starved."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from research_app.models.placement import USABLE, Job, Pool, Training, in_turn

GPUS = tuple(range(8))


def job(run: int, devices: int = 1, seconds: float = 10.0, memory: int = 0) -> Job:
    return Job(run, devices, lambda: seconds, memory)


def training(devices: Sequence[int], seconds: float, memory: int = 0) -> Training:
    return Training(frozenset(devices), lambda: seconds, memory)


def pool(count: int = 8, memory: int = 100, share: int = 1) -> Pool:
    return Pool(dict.fromkeys(range(count), memory), share)


def test_the_first_that_fits_begins_on_the_first_free_devices() -> None:
    found = pool().place([job(1, 2), job(2)], [training([0, 2], 5)])
    assert found and (found[0].run, found[1]) == (1, (1, 3))


def test_a_large_run_is_promised_the_devices_and_a_short_one_goes_before_it() -> None:
    busy = [training([0], 30)]
    assert pool().place([job(1, 8), job(2, seconds=31)], busy) is None
    found = pool().place([job(1, 8), job(2, seconds=30)], busy)
    assert found and found[0].run == 2


def test_devices_that_the_promised_run_does_not_need_are_lent_on() -> None:
    busy = [training([0, 1, 2, 3, 4], 30)]  # four are needed, three are free, one of the five is needed besides
    found = pool().place([job(1, 4), job(2, seconds=999)], busy)
    assert found and found[0].run == 2
    assert pool().place([job(1, 8), job(2, seconds=999)], busy) is None


def test_a_run_that_no_pool_of_this_size_could_ever_take_is_promised_nothing() -> None:
    found = pool(4).place([job(1, 8), job(2, seconds=999)], [training([0], 5)])
    assert found and found[0].run == 2


def test_a_second_large_run_may_use_what_is_left() -> None:
    found = pool().place([job(1, 4)], [training([0, 1, 2, 3], 100)])
    assert found and found[1] == (4, 5, 6, 7)


def test_runs_whose_turn_it_is_come_before_a_large_one_with_the_same_order_otherwise() -> None:
    order = in_turn([job(1, 8), job(2), job(3, 8), job(4)], frozenset((2, 4)))
    assert [each.run for each in order] == [2, 4, 1, 3]


def test_small_runs_share_a_device_only_where_all_say_what_they_take_and_it_is_enough() -> None:
    shared = pool(1, memory=100, share=3)
    assert shared.place([job(1, memory=40)], [training([0], 9, memory=50)])
    assert shared.place([job(1, memory=41)], [training([0], 9, memory=50)]) is None, f"beyond {USABLE} of the memory"
    assert shared.place([job(1)], [training([0], 9, memory=50)]) is None, "it does not say what it takes"
    assert shared.place([job(1, memory=10)], [training([0], 9)]) is None, "the other one does not say it"
    full = [training([0], 9, memory=10)] * 3
    assert shared.place([job(1, memory=10)], full) is None, "three share it already"
    assert pool(1, memory=100).place([job(1, memory=10)], [training([0], 9, memory=10)]) is None, "the host does not want it"


def test_a_free_device_is_taken_before_one_is_shared() -> None:
    found = pool(3, share=4).place([job(1, memory=10)], [training([0], 9, memory=10), training([1], 9, memory=10)])
    assert found and found[1] == (2,)


@dataclass
class Clock:
    """A simulated box: runs of known length, asked for one after another, placed whenever something ends or comes."""

    share: int = 1
    now: float = 0.0
    running: dict[int, tuple[tuple[int, ...], float, int]] = field(default_factory=dict)  # run: devices, end, memory
    began: dict[int, float] = field(default_factory=dict)
    spans: list[tuple[int, tuple[int, ...], float, float]] = field(default_factory=list)
    held_back: float = 0.0  # device seconds that were free for the sake of a promised run
    wide_since: int = 8
    last_wide: float = -1.0

    def training(self) -> list[Training]:
        return [training(devices, end - self.now, memory) for devices, end, memory in self.running.values()]

    def settle(self, waiting: list[tuple[float, Job]], box: Pool) -> None:
        """Begin everything that the rule lets begin, and see that nothing else could have."""
        while True:
            due = [each for came, each in waiting if came <= self.now]
            turn = [each.run for came, each in waiting if each.devices == 1 and came <= self.last_wide and came <= self.now][
                : max(0, 8 - self.wide_since)
            ]
            order = in_turn(due, frozenset(turn))
            found = box.place(order, self.training())
            if found is None:
                self.nothing_else_fits(order, box)
                return
            begun, devices = found
            self.begin(begun, devices)
            waiting[:] = [(came, each) for came, each in waiting if each.run != begun.run]

    def begin(self, begun: Job, devices: tuple[int, ...]) -> None:
        taken = {device for held, _, _ in self.running.values() for device in held}
        assert self.share > 1 or not taken & set(devices), "a device is used twice"
        assert len(set(devices)) == begun.devices
        end = self.now + begun.expected()
        self.running[begun.run] = devices, end, begun.memory
        self.began[begun.run] = self.now
        self.spans.append((begun.run, devices, self.now, end))
        self.wide_since, self.last_wide = (0, self.now) if begun.devices > 1 else (self.wide_since + 1, self.last_wide)

    def nothing_else_fits(self, order: Sequence[Job], box: Pool) -> None:
        """The rule, written once more: what fits and waits would make the first that does not fit wait longer."""
        fitting = [each for each in order if box.room_for(each, self.training())]
        if not fitting:
            return
        promised = next(each for each in order if not box.room_for(each, self.training()))
        assert order.index(promised) < order.index(fitting[0]), "something fits, and nothing before it waits"
        ends = sorted([0.0] * (8 - sum(len(d) for d, _, _ in self.running.values())) + [
            end - self.now for devices, end, _ in self.running.values() for _ in devices
        ])  # fmt: skip
        due = ends[promised.devices - 1]
        spare = sum(end <= due for end in ends) - promised.devices
        for each in fitting:
            assert each.expected() > due and each.devices > spare, f"run {each.run} fits and would make nobody wait"

    def next_end(self) -> None:
        self.now = min(end for _, end, _ in self.running.values())
        self.running = {run: held for run, held in self.running.items() if held[1] > self.now}


@pytest.mark.parametrize("seed", range(30))
def test_two_hundred_mixed_runs_never_share_a_device_and_leave_none_idle_while_something_fits(seed: int) -> None:
    chance = random.Random(seed)
    widths = [8 if chance.random() < 0.15 else chance.choice((1, 1, 1, 1, 2, 4)) if seed % 2 else 1 for _ in range(200)]
    runs = [job(run, width, chance.uniform(1, 60)) for run, width in enumerate(widths)]
    came = sorted(chance.uniform(0, 400) if seed % 3 else 0.0 for _ in runs)
    waiting, clock = list(zip(came, runs, strict=True)), Clock()
    while waiting or clock.running:
        clock.settle(waiting, pool())
        coming = min((moment for moment, _ in waiting if moment > clock.now), default=None)
        if clock.running and (coming is None or min(end for _, end, _ in clock.running.values()) <= coming):
            clock.next_end()
        elif coming is not None:
            clock.now = coming
    assert len(clock.spans) == 200
    for device in GPUS:
        spans = sorted((start, end) for _, devices, start, end in clock.spans if device in devices)
        assert all(later[0] >= earlier[1] for earlier, later in itertools.pairwise(spans))


@pytest.mark.parametrize("first", [1, 8])
def test_neither_kind_starves_the_other_whatever_the_order_says(first: int) -> None:
    """Runs of one kind never cease to come and stand first in the order; one of the other kind begins all the same."""
    clock, box = Clock(), pool()
    other = job(0, 9 - first, 10.0)
    waiting = [(0.0, job(run, first, 10.0)) for run in range(1, 40)]
    waiting.insert(12 if first == 1 else 0, (0.0, other))
    if first == 8:  # the large ones stand before it in the order
        waiting.append(waiting.pop(0))
    number = 100
    for _ in range(400):
        clock.settle(waiting, box)
        clock.next_end()
        if other.run in clock.began:
            break
        number += 1
        waiting.append((clock.now, job(number, first, 10.0)))
    assert clock.began[0] <= 30.0, "after the runs before it, or after one large run"
