from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from cache.digest import canonical_json, digest_array, digest_file, digest_json


def test_canonical_json_sorts_keys_and_has_no_spaces() -> None:
    assert canonical_json({"b": [1, 2.0, None], "a": {"d": True, "c": "é"}}) == (
        '{"a":{"c":"\\u00e9","d":true},"b":[1,2.0,null]}'
    )


def test_the_order_of_keys_and_tuples_for_lists_do_not_change_a_digest() -> None:
    assert digest_json({"a": (1, 2), "b": 3}) == digest_json({"b": 3, "a": [1, 2]})
    assert digest_json({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_a_number_that_is_not_finite_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("value", "match"),
    [({1: 2}, "text as keys, got 1"), ([{2}], r"JSON can't hold \{2\}"), (b"x", "of type bytes")],
)
def test_what_json_would_write_otherwise_is_refused(value: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        canonical_json(value)  # type: ignore[arg-type]  # that is the point


def test_a_files_digest_is_that_of_its_bytes_from_the_start_given(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abcdef" * 300_000)  # more than one block
    assert digest_file(path) == hashlib.sha256(b"abcdef" * 300_000).hexdigest()
    assert digest_file(path, start=4) == hashlib.sha256((b"abcdef" * 300_000)[4:]).hexdigest()


def test_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        digest_file(tmp_path / "nothing")


def test_an_arrays_digest_depends_on_values_dtype_and_shape_and_not_on_memory_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = hashlib.sha256(array.tobytes() + b"<f4[2, 3]").hexdigest()
    assert digest_array(array) == expected
    assert digest_array(np.asfortranarray(array)) == expected
    others = [array.reshape(3, 2), array.view(np.int32), array + 1, array[:0]]
    assert len({expected, *(digest_array(other) for other in others)}) == 5
