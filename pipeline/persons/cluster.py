"""Clusters of tracks by average linkage, under constraints; exact, without a table of all pairs.

The distance of two groups of crops is the root of the mean squared distance of their pairs. It
follows from the number, the mean and the mean squared length of the embeddings of each group, so
that a merge costs one row and a search for the nearest group one product of matrix and vector.

A person may have several *looks* that only somebody who knows them takes for one: groups of a team.
Each look draws in what is near to it, and what one of them is kept apart from all are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BLOCK_ROWS = 128  # of the distances that are held at once
_SLACK = 1e-3  # of squared distances in float32: the exact ones decide
_ROUNDING = 1e-9  # of squared distances in float64, which differ from row to row of a product


@dataclass(frozen=True)
class Groups:
    """Groups of crops that are compared with each other.

    Shapes (N groups, D length of an embedding):
        ``count``: (N,), float64; number of crops. A group of none is far from all others.
        ``mean``: (N, D), float64; mean embedding.
        ``square``: (N,), float64; mean squared length of the embeddings.
        ``team``: (N,), int64; the same for groups that are one person: the number of one of them.
        ``known``: (N,), int64; number of the person that a team is said to be, -1 where nobody
        said. Teams of two persons stay apart.

    Args:
        count: see above.
        mean: see above.
        square: see above.
        team: see above.
        known: see above.
        apart: team to the teams that it stays apart from; says so of both.
    """

    count: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    team: np.ndarray
    known: np.ndarray
    apart: Mapping[int, set[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.count)

    def merge(self, label: np.ndarray) -> Groups:
        """Return the groups of a label each as one, a team of its own.

        Shapes:
            ``label``: (N,), int; from 0, none left out; the same in a team.
        """
        num = int(label.max()) + 1 if len(label) else 0
        count = np.bincount(label, self.count, num)
        some = np.maximum(count, 1)
        mean = np.zeros((num, self.mean.shape[1]))
        np.add.at(mean, label, self.mean * self.count[:, None])
        known = np.full(num, -1)
        np.maximum.at(known, label, self.known)
        apart: dict[int, set[int]] = {}
        for one, others in self.apart.items():
            apart.setdefault(int(label[one]), set()).update(label[list(others)].tolist())
        square = np.bincount(label, self.square * self.count, num) / some
        return Groups(count, mean / some[:, None], square, np.arange(num), known, apart)


def cluster_groups(groups: Groups, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Merge the nearest two groups again and again, until none are nearer than ``limit``.

    Where every team is one group, whoever searched all pairs for the nearest each time would find
    the same clusters: chains of nearest neighbours find the pairs sooner, and groups that no chain
    of pairs nearer than ``limit`` connects are never compared.

    Args:
        groups: the groups, and which of them stay apart.
        limit: distance from which on two groups are two.

    Returns:
        Twice (N,), int64: the look of each group, and its person, each numbered in the order of
        their first groups.

    Source:
        Murtagh, "A Survey of Recent Advances in Hierarchical Clustering Algorithms", The Computer
        Journal, 1983. Differs from it: it ends at ``limit``, and pairs may be forbidden, which
        leaves linkage reducible: what may not be merged is infinitely far, and stays so.
    """
    look, team = np.arange(len(groups)), groups.team.copy()
    for members in _components(groups, limit**2):
        for one, other in _chain(groups, members, limit**2):
            look[look == other] = one
            team[team == team[other]] = team[one]
    return _number(look), _number(team)


def measure_widths(groups: Groups, label: np.ndarray) -> np.ndarray:
    """Measure how far the groups of each cluster are from its others.

    Shapes (N groups, C clusters):
        ``label``: (N,), int; the cluster of each group, from 0, none left out.
        result: (N,), float64; distance of a group to all others of its cluster together, 0 where
        there are none.
    """
    whole = groups.merge(label)
    others = whole.count[label] - groups.count
    some = np.maximum(others, 1)
    rest = whole.mean[label] * whole.count[label, None] - groups.mean * groups.count[:, None]
    square = whole.square[label] * whole.count[label] - groups.square * groups.count
    product = (groups.mean * rest).sum(axis=1)
    squared = groups.square + (square - 2 * product) / some
    squared[(others == 0) | (groups.count == 0)] = 0
    widths: np.ndarray = np.sqrt(np.maximum(squared, 0))
    return widths


def find_near(groups: Groups, limit: float) -> list[tuple[float, int, int]]:
    """Find the pairs of groups that are not kept apart and not further apart than ``limit``.

    Args:
        groups: teams of one group each.
        limit: largest distance.

    Returns:
        Distance and the two groups, the smaller number first; the nearest pairs first.
    """
    found: list[tuple[float, int, int]] = []
    for one, other in _near_pairs(groups, limit**2):
        product = (groups.mean[one] * groups.mean[other]).sum(axis=1)
        distance = np.sqrt(np.maximum(groups.square[one] + groups.square[other] - 2 * product, 0))
        free = ~_are_known_as_two(groups.known[one], groups.known[other])
        rows = np.flatnonzero(free & (distance <= limit))
        found += zip(distance[rows].tolist(), one[rows].tolist(), other[rows].tolist(), strict=True)
    return sorted(pair for pair in found if pair[2] not in groups.apart.get(pair[1], ()))


def _number(label: np.ndarray) -> np.ndarray:
    """Number labels from 0 in the order of their first places."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    number: np.ndarray = first.argsort().argsort()[inverse]
    return number


def _are_known_as_two(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    two: np.ndarray = (one >= 0) & (other >= 0) & (one != other)
    return two


def _near_pairs(groups: Groups, limit: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of groups whose squared distance may be below a limit, block by block."""
    some = np.flatnonzero(groups.count > 0)
    mean, square = groups.mean[some].astype(np.float32), groups.square[some].astype(np.float32)
    for start in range(0, len(some), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        squared = square[rows, None] + square[start:] - 2 * (mean[rows] @ mean[start:].T)
        one, other = np.nonzero(squared <= limit + _SLACK)
        later = other > one
        yield some[start:][one[later]], some[start:][other[later]]


def _components(groups: Groups, limit: float) -> Iterator[np.ndarray]:
    """Yield the sets of groups, of two at least, that teams and chains of near pairs connect."""
    num = len(groups)
    label = groups.team
    for one, other in _near_pairs(groups, limit):
        pairs = coo_array((np.ones(len(one), bool), (label[one], label[other])), (num, num))
        label = connected_components(pairs, directed=False)[1][label]
    order = np.argsort(label, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
        if len(members) > 1:
            yield members


def _chain(groups: Groups, members: np.ndarray, limit: float) -> Iterator[tuple[int, int]]:
    """Yield the merges among some groups, the smaller number first, which keeps its name."""
    pool = _Pool(groups, members[groups.count[members] > 0])
    chain: list[tuple[int, float]] = []  # a group, and its distance from the one before it
    while pool.name:
        if not chain:
            chain.append((pool.name[0], np.inf))
        tip, reached = chain[-1]
        nearest, squared = pool.find_nearest(tip)
        if len(chain) > 1 and squared >= reached - _ROUNDING:  # they are each other's nearest
            one, other = sorted((chain.pop()[0], chain.pop()[0]))
            if pool.merge(one, other):
                chain.clear()
            yield one, other
        elif squared > limit:  # what is merged later comes no nearer than its parts
            pool.drop(tip)
            chain.pop()
        else:
            chain.append((nearest, squared))


class _Pool:
    """Groups that may still be merged, in the first rows of arrays that shrink with them."""

    def __init__(self, groups: Groups, members: np.ndarray) -> None:
        self.count, self.mean, self.square, self.team, self.known = (
            part[members].copy()
            for part in (groups.count, groups.mean, groups.square, groups.team, groups.known)
        )
        self.name: list[int] = members.tolist()
        self.row = {name: row for row, name in enumerate(self.name)}
        self.team_names: dict[int, set[int]] = {}
        for name, team in zip(self.name, self.team.tolist(), strict=True):
            self.team_names.setdefault(team, set()).add(name)
        self.apart = {team: set(groups.apart.get(team, ())) for team in self.team_names}
        self.any_known = bool((self.known >= 0).any())

    def find_nearest(self, name: int) -> tuple[int, float]:
        """Return the nearest group that one may be merged with, and the squared distance."""
        row, num = self.row[name], len(self.name)
        squared = self.square[:num] + self.square[row] - 2 * (self.mean[:num] @ self.mean[row])
        squared[row] = np.inf
        if self.any_known:
            squared[_are_known_as_two(self.known[:num], self.known[row])] = np.inf
        for team in self.apart[int(self.team[row])]:
            for other in self.team_names.get(team, ()):
                squared[self.row[other]] = np.inf
        nearest = int(squared.argmin())
        return self.name[nearest], float(squared[nearest])

    def merge(self, one: int, other: int) -> bool:
        """Merge a group into another; say whether that forbids merges of a third."""
        at, gone = self.row[one], self.row[other]
        both = self.count[at] + self.count[gone]
        for values in (self.mean, self.square):
            values[at] = (values[at] * self.count[at] + values[gone] * self.count[gone]) / both
        self.count[at] = both
        stays, goes = int(self.team[at]), int(self.team[gone])
        known = max(self.known[at], self.known[gone])
        self.drop(other)
        if stays == goes:
            return False
        self.team_names[stays] |= self.team_names.pop(goes)
        for name in self.team_names[stays]:
            self.team[self.row[name]], self.known[self.row[name]] = stays, known
        for third in self.apart.pop(goes):
            if third in self.apart:
                self.apart[third].discard(goes)
                self.apart[third].add(stays)
            self.apart[stays].add(third)
        return len(self.team_names[stays]) > 1

    def drop(self, name: int) -> None:
        """Take a group out; the last one gets its row."""
        row, last = self.row.pop(name), len(self.name) - 1
        self.team_names[int(self.team[row])].discard(name)
        for values in (self.count, self.mean, self.square, self.team, self.known):
            values[row] = values[last]
        moved = self.name.pop()
        if moved != name:
            self.name[row] = moved
            self.row[moved] = row
