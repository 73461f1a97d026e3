"""How long a run will still take, and how long a reader worked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "LiverSegModule"))

from LiverSegModuleLib.RunEstimate import estimate  # noqa: E402
from LiverSegModuleLib.TimeLeft import ReviewClock, TimeLeft, in_words  # noqa: E402


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_quarter_in_ten_seconds_leaves_thirty():
    clock = Clock()
    left = TimeLeft(clock)
    clock.now += 10
    assert left.seconds(0.25) == pytest.approx(30)
    assert left.seconds(1.0) is None


def test_too_early_nothing_is_said():
    clock = Clock()
    left = TimeLeft(clock)
    clock.now += 1
    assert left.seconds(0.5) is None
    clock.now += 9
    assert left.seconds(0.01) is None


@pytest.mark.parametrize(("seconds", "words"), [(None, ""), (12.4, "12 s"), (200, "3 min")])
def test_times_are_said_in_round_words(seconds, words):
    assert in_words(seconds) == words


def test_the_review_counts_work_and_no_coffee_break():
    clock = Clock()
    review = ReviewClock(clock, longest_pause_s=60)
    review.touch()
    clock.now += 20
    review.touch()
    clock.now += 3600
    review.touch()
    assert review.take() == 80
    assert review.take() == 0


def test_time_in_another_module_does_not_count():
    clock = Clock()
    review = ReviewClock(clock)
    review.touch()
    clock.now += 5
    review.pause()
    clock.now += 50
    review.touch()
    clock.now += 2
    review.pause()
    assert review.take() == 7


def test_the_estimate_agrees_with_what_was_measured_and_heeds_the_options():
    big, one = 512 * 512 * 300, 512 * 512 * 119
    full = estimate(big, "full", "cpu", "auto")
    assert full.seconds == pytest.approx(25, abs=2)
    assert full.gigabytes == pytest.approx(1.4, abs=0.1)
    assert estimate(one, "full", "cpu", "auto").seconds == pytest.approx(25, abs=2)
    assert estimate(one, "full", "cpu", "auto").gigabytes == pytest.approx(1.2, abs=0.15)
    assert estimate(big, "fast", "cpu", "auto").seconds == pytest.approx(20, abs=2)
    assert estimate(big, "full", "cpu", "half").seconds > full.seconds
    assert estimate(big, "full", "cuda", "auto").on_gpu and not full.on_gpu
