from __future__ import annotations

import numpy as np
import pytest

from cache.entries.entry import Entry
from cache.entries.source import Source
from pipeline.faces.identity import IdentityArrays, read_identity


def entry(arrays: dict[str, np.ndarray]) -> Entry:
    source = Source(2, 3, "0" * 64)
    return Entry("a", arrays, "ok", (), {}, source, {}, {})


def test_what_an_entry_stores_is_read_back() -> None:
    found = IdentityArrays(
        times=np.array([0.5, 1.5]),
        frame=np.array([0, 0, 1], np.int32),
        track=np.array([0, 1, 0], np.int32),
        box=np.arange(12, dtype=np.float32).reshape(3, 4),
        sharpness=np.array([3, 5, 7], np.float32),
        embedding=np.ones((3, 128), np.float32),
    )
    back = read_identity(entry(found.arrays()))
    for name, values in vars(found).items():
        assert np.array_equal(getattr(back, name), values), name


def test_an_entry_of_another_set_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"clip a: expected an entry of an identity set.*crops/emb"
    ):
        read_identity(entry({"times": np.zeros(2)}))
