"""Table of all operations whose crashes are tried."""

from __future__ import annotations

from tests.crash import of_caches, of_runs

OPERATIONS = {one.name: one for one in (*of_caches.OPERATIONS, *of_runs.OPERATIONS)}
