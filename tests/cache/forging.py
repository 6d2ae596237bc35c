"""Records in which one field is dropped, or is anything that JSON can hold."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="properties are tested with hypothesis")

from hypothesis import strategies as st

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**63, 10**30])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(record: Any) -> Iterator[tuple[Any, Any]]:
    """Every field and item in a record, to the bottom: what holds it, and its name there."""
    names: Any = (
        list(record)
        if isinstance(record, dict)
        else range(len(record))
        if isinstance(record, list)
        else ()
    )
    for name in names:
        yield record, name
        yield from places(record[name])


@st.composite
def forged(draw: st.DrawFn, record: dict[str, Any]) -> dict[str, Any]:
    """Draw such a record."""
    result = copy.deepcopy(record)
    holder, name = draw(st.sampled_from(list(places(result))))
    if draw(st.booleans()) and isinstance(holder, dict):
        del holder[name]
    else:
        holder[name] = draw(ANYTHING)
    return result
