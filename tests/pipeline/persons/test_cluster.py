from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from pipeline.persons.cluster import Groups, cluster_groups, find_near, measure_widths


def groups_of(
    crops: list[list[list[float]]],
    apart: dict[int, set[int]] | None = None,
    known: list[int] | None = None,
    team: list[int] | None = None,
) -> Groups:
    """Gather crops into groups by the definitions."""
    dim = next((len(crop) for group in crops for crop in group), 2)
    return Groups(
        count=np.array([len(group) for group in crops], float),
        mean=np.array([np.mean(group, axis=0) if group else np.zeros(dim) for group in crops]),
        square=np.array([np.mean(np.square(g).sum(axis=1)) if g else 0.0 for g in crops]),
        team=np.array(team or range(len(crops)), np.int64),
        known=np.array(known or [-1] * len(crops)),
        apart=apart or {},
    )


def distance(one: list[list[float]], other: list[list[float]]) -> float:
    pairs = [np.square(np.subtract(a, b)).sum() for a in one for b in other]
    return float(np.sqrt(np.mean(pairs))) if pairs else np.inf


def by_definition(
    crops: list[list[list[float]]], limit: float, apart: set[tuple[int, int]]
) -> list[set[int]]:
    """Merge the nearest allowed pair of all, again and again."""
    clusters = [({number}, group) for number, group in enumerate(crops)]
    while True:
        allowed = [
            (distance(a[1], b[1]), i, j)
            for (i, a), (j, b) in combinations(enumerate(clusters), 2)
            if not any((min(p, q), max(p, q)) in apart for p in a[0] for q in b[0])
        ]
        if not allowed or min(allowed)[0] > limit:
            return sorted((cluster[0] for cluster in clusters), key=min)
        _, i, j = min(allowed)
        one, other = clusters[i], clusters.pop(j)
        clusters[i] = (one[0] | other[0], one[1] + other[1])


def persons(groups: Groups, limit: float = 0.45) -> list[int]:
    found: list[int] = cluster_groups(groups, limit)[1].tolist()
    return found


def as_sets(label: list[int]) -> list[set[int]]:
    return [{row for row, n in enumerate(label) if n == number} for number in sorted(set(label))]


@pytest.mark.parametrize("seed", range(13))
def test_clusters_are_those_of_the_definition(seed: int) -> None:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(5, 3))
    crops = [
        (centres[generator.integers(5)] + 0.3 * generator.normal(size=(size, 3))).tolist()
        for size in generator.integers(1, 4, 31)
    ]
    chosen = (generator.choice(31, 2, replace=False).tolist() for _ in range(17))
    pairs = {(min(pair), max(pair)) for pair in chosen}
    apart: dict[int, set[int]] = {}
    for one, other in pairs:
        apart.setdefault(one, set()).add(other)
        apart.setdefault(other, set()).add(one)
    expected = by_definition(crops, 1.1, pairs)
    assert 3 < len(expected) < 25
    assert as_sets(persons(groups_of(crops, apart), 1.1)) == expected


def test_groups_that_must_stay_apart_do_even_if_they_are_equal() -> None:
    twins = [[[1.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.1]]]
    label = persons(groups_of(twins, {0: {1}, 1: {0}}))
    assert label[0] != label[1]
    assert persons(groups_of(twins), 0.45) == [0, 0, 0]


def test_groups_of_two_known_persons_stay_apart_and_draw_in_their_own() -> None:
    crops = [[[0.0, 0.0]], [[0.3, 0.0]], [[0.1, 0.0]], [[0.25, 0.0]]]
    assert persons(groups_of(crops, known=[7, 3, -1, -1]), 0.45) == [0, 1, 0, 1]


def test_each_look_of_a_person_draws_in_its_own() -> None:
    crops = [[[0.0, 0.0]], [[5.0, 0.0]], [[0.1, 0.0]], [[5.1, 0.0]], [[9.0, 0.0]]]
    look, person = cluster_groups(groups_of(crops, team=[0, 0, 2, 3, 4]), 0.45)
    assert look.tolist() == [0, 1, 0, 1, 2]
    assert person.tolist() == [0, 0, 0, 0, 1]


def test_what_one_look_is_kept_apart_from_all_looks_are() -> None:
    # 2 and 3 are near to a look each, and seen in the same frame: only one is drawn in.
    crops = [[[0.0, 0.0]], [[5.0, 0.0]], [[0.1, 0.0]], [[5.2, 0.0]]]
    found = groups_of(crops, {2: {3}, 3: {2}}, team=[0, 0, 2, 3])
    assert persons(found) == [0, 0, 0, 1]
    # And what is kept apart from the team from the beginning.
    assert persons(groups_of(crops, {0: {3}, 3: {0}}, team=[0, 0, 2, 3])) == [0, 0, 0, 1]
    # A look in a component of its own counts too.
    assert persons(groups_of(crops, known=[1, 1, 2, 1], team=[0, 0, 2, 3])) == [0, 0, 1, 0]


def test_groups_without_crops_stay_alone() -> None:
    assert persons(groups_of([[], [[0.0, 0.0]], []]), 9.0) == [0, 1, 2]
    assert persons(groups_of([]), 9.0) == []


def test_a_spread_group_is_farther_than_its_mean() -> None:
    # Means at 0 and 0.4; the pairs' squared distances are 0.4^2 + 0.3^2 each.
    crops = [[[0.0, 0.3], [0.0, -0.3]], [[0.4, 0.0]]]
    assert persons(groups_of(crops), 0.49) == [0, 1]
    assert persons(groups_of(crops), 0.51) == [0, 0]


def test_widths_are_distances_to_the_rest_of_the_cluster() -> None:
    crops = [[[0.0, 0.0]], [[0.3, 0.0], [0.5, 0.0]], [[9.0, 0.0]], []]
    widths = measure_widths(groups_of(crops), np.array([0, 0, 1, 0]))
    link = np.sqrt((0.3**2 + 0.5**2) / 2)
    assert widths == pytest.approx([link, link, 0, 0])


def test_near_pairs_come_nearest_first_without_those_kept_apart() -> None:
    crops = [[[0.0, 0.0]], [[0.5, 0.0]], [[0.8, 0.0]], [[0.0, 0.1]], []]
    near = find_near(groups_of(crops, {0: {3}, 3: {0}}), 0.6)
    assert [pair[1:] for pair in near] == [(1, 2), (0, 1), (1, 3)]
    assert [pair[0] for pair in near] == pytest.approx([0.3, 0.5, np.sqrt(0.26)])
    assert find_near(groups_of(crops[:2], known=[0, 1]), 0.6) == []


@pytest.mark.slow
def test_ten_thousand_tracks_of_499_persons_are_told_apart() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(499, 128)) * 0.88 / np.sqrt(2 * 128)
    who = generator.integers(0, 499, 10_007)
    mean = centres[who] + generator.normal(size=(10_007, 128)) * 0.32 / np.sqrt(2 * 128)
    square = (mean**2).sum(axis=1)
    groups = Groups(np.ones(10_007), mean, square, np.arange(10_007), np.full(10_007, -1))
    look, person = cluster_groups(groups, 0.45)
    assert np.array_equal(look, person)
    pairs = set(zip(who.tolist(), person.tolist(), strict=True))
    assert len(pairs) == len(set(who.tolist())) == person.max() + 1
