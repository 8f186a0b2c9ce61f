"""Statistics of settings: by hand, against scipy, and laws that hold for any scores."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from tune.comparison.significance import Setting, SharedSeeds, group, holm, importance, judge


def setting(name, *scores):
    return Setting({"key": name}, scores)


def verdicts(settings, mode="max"):
    return {one.setting.point["key"]: one.verdict for one in judge(settings, mode)}


def test_mean_deviation_and_interval_by_hand():
    # mean 4, squares 4 + 0 + 4, sd sqrt(8 / 2) = 2; t(0.975, 2) = 4.302653, half = 4.302653 * 2 / sqrt(3) = 4.968275
    one = setting("a", 2.0, 4.0, 6.0)
    assert (one.mean, one.deviation, one.seeds) == (4.0, 2.0, 3)
    assert one.interval == pytest.approx((4 - 4.968275, 4 + 4.968275), abs=1e-6)


def test_one_seed_has_no_deviation_and_no_interval():
    assert (setting("a", 0.5).deviation, setting("a", 0.5).interval) == (None, None)


def test_scores_are_grouped_by_point_and_equal_seeds_count_once():
    scored = [({"n": 1}, "0", 0.5), ({"n": 2}, "0", 0.9), ({"n": 1}, "1", 0.7), ({"n": 1.0}, "1", 0.9)]
    first, second = group(scored)
    assert (first.point, first.scores, first.seed_names) == ({"n": 1}, (0.5, pytest.approx(0.8)), ("0", "1"))
    assert (second.scores, second.seed_names) == ((0.9,), ("0",))


def test_points_with_true_and_one_are_two_settings():
    assert len(group([({"on": True}, "0", 0.5), ({"on": 1}, "0", 0.5), ({"on": "1"}, "0", 0.5)])) == 3


def test_welch_by_hand():
    # a: mean 5, variance 1, n 3; b: mean 2, variance 4, n 3. t = 3 / sqrt(5/3) = 2.323790
    # freedom = (5/3)^2 / ((1/3)^2 / 2 + (4/3)^2 / 2) = (25/9) / (17/18) = 50/17 = 2.941176
    best, other = judge([setting("a", 4.0, 5.0, 6.0), setting("b", 0.0, 2.0, 4.0)], "max")
    assert best.verdict == "best"
    assert other.p == pytest.approx(2 * stats.t.sf(2.323790, 50 / 17), abs=1e-6)
    half = stats.t.ppf(0.975, 50 / 17) * math.sqrt(5 / 3)
    assert other.behind == pytest.approx((3 - half, 3 + half))
    assert other.verdict == "equal"


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=6), st.lists(st.integers(0, 1000), min_size=2, max_size=6))
def test_welch_is_that_of_scipy(first, second):
    assume(len(set(first)) > 1 and len(set(second)) > 1)
    _, other = judge([setting("a", *map(float, first)), setting("b", *map(float, second))], "max")
    best, worse = sorted((first, second), key=lambda scores: -sum(scores) / len(scores))
    expected = stats.ttest_ind(best, worse, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert other.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert other.behind == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-6)


def seeded(name, *scores):
    return Setting({"key": name}, scores, tuple(str(seed) for seed in range(len(scores))))


def test_shared_seeds_by_hand():
    # Means 4, 3, 2 of the settings, 2, 4 of the seeds (and 3 of all) would give 3 5 / 2 4 / 1 3. Noise -1 +1 / +1 -1 / 0 0 has
    # (3 - 1) x (2 - 1) = 2 degrees of freedom, which are too few; with the rows twice there are 5.
    rows = [seeded("a", 2.0, 6.0), seeded("b", 3.0, 3.0), seeded("c", 1.0, 3.0)]
    assert SharedSeeds.of(rows) is None
    blocks = SharedSeeds.of([*rows, *rows])
    assert (blocks.freedom, blocks.seeds) == (5, 2)
    assert blocks.variance == pytest.approx(8 / 5)
    p, behind = blocks.test(rows[0], rows[2], 1.0)
    error = math.sqrt(2 * 8 / 5 / 2)  # 1.264911
    assert p == pytest.approx(2 * stats.t.sf(2 / 1.264911, 5), abs=1e-6)
    half = stats.t.ppf(0.975, 5) * error
    assert behind == pytest.approx((2 - half, 2 + half))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=4, max_size=9))
def test_two_settings_seed_by_seed_are_the_paired_test(pairs):
    differences = {one - other for one, other in pairs}
    assume(len(differences) > 1)
    first, second = (seeded(name, *map(float, scores)) for name, scores in zip("ab", zip(*pairs, strict=True), strict=True))
    _, other = judge([first, second], "max")
    best, worse = sorted((first, second), key=lambda one: -one.mean)
    expected = stats.ttest_rel(best.scores, worse.scores)
    interval = expected.confidence_interval(0.95)
    assert other.blocked
    assert other.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert other.behind == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-6)


def test_a_luck_that_all_settings_share_hides_nothing():
    luck = (0.0, 0.05, -0.03)
    rows = [seeded(name, *(base + seed for seed in luck)) for name, base in (("a", 0.9), ("b", 0.89), ("c", 0.88))]
    noisy = [Setting(row.point, tuple(score + 1e-3 * (-1) ** (i + j) for i, score in enumerate(row.scores)), row.seed_names)
             for j, row in enumerate(rows)]  # fmt: skip
    assert verdicts(noisy) == {"a": "best", "b": "worse", "c": "worse"}
    assert verdicts([Setting(row.point, row.scores) for row in noisy]) == {"a": "best", "b": "equal", "c": "equal"}


def test_other_seeds_or_none_are_welchs():
    rows = [seeded("a", 0.9, 0.8, 0.85), seeded("b", 0.8, 0.75, 0.7), Setting({"key": "c"}, (0.5, 0.6, 0.7), ("7", "8", "9"))]
    assert not any(one.blocked for one in judge(rows, "max"))  # two settings with three seeds are too few
    judged = judge([*rows, seeded("d", 0.1), seeded("e", 0.5, 0.6, 0.55)], "max")
    assert {one.setting.point["key"]: one.blocked for one in judged} == {"a": False, "b": True, "c": False, "d": False, "e": True}


def test_a_setting_of_another_noise_neither_hides_nor_makes_a_difference():
    close = [seeded("a", 0.900, 0.901, 0.899), seeded("b", 0.880, 0.881, 0.879)]
    assert SharedSeeds.of([*close, seeded("c", 0.1, 0.5, 0.9)]) is None
    assert verdicts([*close, seeded("c", 0.1, 0.5, 0.9)])["b"] == "worse"
    luck = (0.0, 0.05, -0.03)
    quiet = [seeded(str(n), *(0.9 + seed + 1e-3 * math.sin(n + 2 * i * n) for i, seed in enumerate(luck))) for n in range(8)]
    assert SharedSeeds.of(quiet) is not None
    assert SharedSeeds.of([*quiet, seeded("loud", 0.95, 0.85, 0.87)]) is None


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.5 -> 0.04, 0.06, max(0.06, 0.06), max(0.06, 0.5)
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.04, 0.03, 0.03]) == pytest.approx([0.09, 0.09, 0.09])
    assert holm([]) == []


def test_the_correction_can_take_a_difference_back():
    best, other = setting("a", 0.90, 0.91, 0.92), setting("b", 0.87, 0.885, 0.895)
    assert judge([best, other], "max")[1].p < 0.05
    assert verdicts([best, other])["b"] == "worse"
    crowd = [setting(f"c{i}", 0.89, 0.90, 0.91) for i in range(5)]
    assert verdicts([best, other, *crowd])["b"] == "equal"


def test_the_smallest_is_best_where_less_is_better():
    judged = judge([setting("a", 1.0, 1.1, 1.2), setting("b", 3.0, 3.1, 3.2), setting("c", 2.0, 2.1, 2.2)], "min")
    assert [one.setting.point["key"] for one in judged] == ["a", "c", "b"]
    assert judged[2].behind[0] > 0
    assert [one.verdict for one in judged] == ["best", "worse", "worse"]


def test_nothing_is_claimed_from_one_seed():
    assert verdicts([setting("a", 0.99), setting("b", 0.1), setting("c", 0.2, 0.21, 0.22)]) == {
        "a": "best", "b": "one seed", "c": "one seed",
    }  # fmt: skip
    judged = judge([setting("a", 0.90, 0.91, 0.92), setting("b", 0.1), setting("c", 0.2, 0.21, 0.22)], "max")
    assert [(one.verdict, one.p is None) for one in judged] == [("best", True), ("worse", False), ("one seed", True)]


def test_settings_without_a_test_do_not_count_in_the_correction():
    pair = [setting("a", 0.90, 0.91, 0.92), setting("b", 0.87, 0.885, 0.895)]
    alone = judge(pair, "max")[1].p
    assert judge([*pair, setting("c", 0.1)], "max")[1].p == alone


def test_scores_without_any_spread_show_no_difference():
    assert verdicts([setting("a", 0.9, 0.9), setting("b", 0.8, 0.8)])["b"] == "no spread"
    assert verdicts([setting("a", 0.9, 0.9), setting("b", 0.9, 0.9)])["b"] == "no spread"


def test_importance_of_a_full_grid_by_hand():
    # means by (n, alpha): (1, x) 0, (1, y) 2, (2, x) 4, (2, y) 6; total 20; n: 2 * 2^2 * 2 = 16, alpha: 2 * 1^2 * 2 = 4
    points = [
        ({"n": 1, "alpha": "x"}, 0.0),
        ({"n": 1, "alpha": "y"}, 2.0),
        ({"n": 2, "alpha": "x"}, 4.0),
        ({"n": 2, "alpha": "y"}, 6.0),
    ]
    assert importance([Setting(point, (mean,)) for point, mean in points]) == pytest.approx({"n": 0.8, "alpha": 0.2})


def test_an_interaction_is_invisible_to_marginal_importance():
    points = [({"n": 1, "a": 1}, 0.0), ({"n": 1, "a": 2}, 1.0), ({"n": 2, "a": 1}, 1.0), ({"n": 2, "a": 2}, 0.0)]
    assert importance([Setting(point, (mean,)) for point, mean in points]) == pytest.approx({"n": 0.0, "a": 0.0})


def test_a_number_with_many_levels_is_binned():
    # 8 levels in 4 bins of two: the means of a bin are 0.5, 2.5, 4.5, 6.5; between 2 * 20 = 40 of 42 in total
    settings = [Setting({"lr": 10.0**-i}, (float(i),)) for i in range(8)]
    assert importance(settings) == pytest.approx({"lr": 40 / 42})


def test_equal_means_have_nothing_to_explain():
    assert importance([setting("a", 0.5), setting("b", 0.5)]) == {"key": 0.0}
    assert importance([setting("a", 0.5)]) == {}


thousandths = st.integers(0, 1000).map(lambda value: value / 1000)
points = st.fixed_dictionaries({"n": st.sampled_from([10, 20, 50]), "on": st.booleans()})
tables = st.lists(
    st.tuples(points, st.sampled_from("012"), thousandths),
    min_size=1, max_size=24, unique_by=lambda row: (row[0]["n"], row[0]["on"], row[1]),
)  # fmt: skip


def decisions(scored, mode):
    judged = judge(group(scored), mode)
    return {tuple(one.setting.point.items()): one.verdict for one in judged}


@settings(deadline=None)
@given(tables, st.randoms(), st.sampled_from(["max", "min"]))
def test_the_order_of_the_runs_changes_nothing(scored, random, mode):
    shuffled = random.sample(scored, len(scored))
    assert judge(group(shuffled), mode) == judge(group(scored), mode)
    assert importance(group(shuffled)) == importance(group(scored))


@settings(deadline=None)
@given(tables, st.integers(-5000, 5000), st.sampled_from(["max", "min"]))
def test_a_constant_added_to_all_scores_changes_no_decision(scored, thousandth, mode):
    shifted = [(point, seed, score + thousandth / 1000) for point, seed, score in scored]
    assert decisions(shifted, mode) == decisions(scored, mode)
    assert importance(group(shifted)) == pytest.approx(importance(group(scored)), abs=1e-6)


@settings(deadline=None)
@given(tables)
def test_the_largest_of_scores_is_the_smallest_of_their_negatives(scored):
    negative = [(point, seed, -score) for point, seed, score in scored]
    assert decisions(negative, "min") == decisions(scored, "max")


@settings(deadline=None)
@given(tables)
def test_shares_lie_between_0_and_1(scored):
    assert all(0 <= share <= 1 for share in importance(group(scored)).values())


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=10))
def test_a_corrected_p_is_never_smaller(p_values):
    assert all(1 >= after >= before for before, after in zip(p_values, holm(p_values), strict=True))
