"""Fronts of families against one another, on points whose front is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.membership.fronts import Point, contest, front, placed, standing
from gujax.statistics import Interval, mean_interval


def point(accuracy, found, seeds=3):
    return Point(np.full(seeds, accuracy), np.full(seeds, found))


def test_a_front_is_the_lower_hull_of_its_settings():
    points = [point(0.5, 0.02), point(0.6, 0.08), point(0.7, 0.1), point(0.8, 0.5)]
    # 0.6 at 0.08 lies above the line from (0.5, 0.02) to (0.7, 0.1).
    for at, expected in ((0.4, 0.02), (0.5, 0.02), (0.6, 0.06), (0.7, 0.1), (0.75, 0.3)):
        np.testing.assert_allclose(front(points, at), expected)
    assert np.isnan(front(points, 0.81)).all()


def test_settings_are_chosen_on_other_seeds():
    """Of settings that are equal but for luck, the front is none the better for their number."""
    rng = np.random.default_rng(0)
    draws = [
        front([Point(np.full(4, 0.6), rng.normal(0.1, 0.02, 4)) for _ in range(20)], 0.6).mean()
        for _ in range(200)
    ]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - 0.1) < 4 * error
    # A single seed chooses for itself.
    assert front([point(0.6, 0.2, 1), point(0.6, 0.1, 1)], 0.6) == [0.1]


def test_a_contest_is_at_the_best_that_both_reach():
    own = [point(0.9, 0.05), point(0.8, 0.02)]
    rival = [point(0.95, 0.08), point(0.85, 0.03)]
    held = contest(own, rival)
    assert held.accuracy == pytest.approx(0.9)
    np.testing.assert_allclose(held.found, [[0.05] * 3, [0.055] * 3])
    assert held.level == pytest.approx(0.03)
    np.testing.assert_allclose(held.kept, [[0.8 + 0.1 / 3] * 3, [0.85] * 3])
    back = contest(rival, own)
    np.testing.assert_allclose(held.found, back.found[::-1])
    np.testing.assert_allclose(held.kept, back.kept[::-1])


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_a_contest_knows_every_seed(seeds, ours, theirs, seed):
    rng = np.random.default_rng(seed)
    own, rival = ([Point(*rng.random((2, seeds))) for _ in range(n)] for n in (ours, theirs))
    held = contest(own, rival)
    assert np.isfinite([*held.found, *held.kept]).all()


def test_families_are_held_against_the_best_of_all_others():
    noise = np.array([-0.001, 0.0, 0.001])
    families = {
        "good": [Point(np.full(3, 0.6), 0.03 + noise)],
        "bad": [Point(np.full(3, 0.6), 0.09 + noise[::-1])],
        "same": [Point(np.full(3, 0.6), 0.03 - noise)],
        "weak": [Point(np.full(3, 0.5), 0.01 + noise)],
    }

    def stands(at):
        return {
            name: standing(mean_interval(one.difference))
            for name, one in placed(families, at).items()
        }

    assert stands(0.6) == {"good": "level", "bad": "behind", "same": "level", "weak": "unknown"}
    del families["same"]
    assert stands(0.6)["good"] == "ahead"
    assert stands(0.5)["weak"] == "ahead"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(-2, -1, "ahead"), (-1, 1, "level"), (1, 2, "behind"), (np.nan, np.nan, "unknown")],
)
def test_standing(low, high, word):
    assert standing(Interval(0, low, high)) == word
