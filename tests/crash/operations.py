"""Table of all operations whose crashes and faults are tried, and their names for tests."""

from __future__ import annotations

import pytest

from tests.crash import of_caches, of_runs

OPERATIONS = {one.name: one for one in (*of_caches.OPERATIONS, *of_runs.OPERATIONS)}
NAMES = [
    *(one.name for one in of_caches.OPERATIONS),
    *(pytest.param(one.name, marks=pytest.mark.slow) for one in of_runs.OPERATIONS),
]
