"""Sums of a pack's values: what they find, and that they are of the bytes that are returned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.entries.sealed import HEADER_BYTES, Header, SealError
from cache.packs.sums import PAGE, PackSums, add_up, check_mapped, check_rest, read_values

OFFSET = HEADER_BYTES + 24
SIZE = 5 * PAGE + 17  # the last page is not whole, nor its last word


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "values"
    noise = np.random.default_rng(3).integers(0, 256, OFFSET + SIZE + 31, np.uint8)
    path.write_bytes(noise.tobytes())
    return path


def test_what_is_returned_is_what_was_summed(file: Path) -> None:
    stated = add_up(file, OFFSET, SIZE)
    values = read_values(file, stated, verify=True)
    assert values.tobytes() == file.read_bytes()[OFFSET : OFFSET + SIZE]
    check_mapped(values, stated)
    check_rest(file, stated)


def damage(path: Path, position: int, content: bytes) -> None:
    whole = bytearray(path.read_bytes())
    assert whole[position : position + len(content)] != content
    whole[position : position + len(content)] = content
    path.write_bytes(whole)


@pytest.mark.parametrize(
    "position", [OFFSET, OFFSET + PAGE - 1, OFFSET + 3 * PAGE + 5, OFFSET + SIZE - 1]
)
def test_any_changed_byte_of_the_values_is_found(file: Path, position: int) -> None:
    stated = add_up(file, OFFSET, SIZE)
    damage(file, position, bytes([file.read_bytes()[position] ^ 64]))
    with pytest.raises(SealError, match="its values don't add up"):
        read_values(file, stated, verify=True)
    with pytest.raises(SealError, match="its values don't add up"):
        check_mapped(read_values(file, stated, verify=False), stated)
    check_rest(file, stated)  # nothing else changed


def test_swapped_pages_and_a_page_of_zeros_are_found(file: Path) -> None:
    stated = add_up(file, OFFSET, SIZE)
    first, second = (file.read_bytes()[OFFSET + i * PAGE : OFFSET + (i + 1) * PAGE] for i in (1, 2))
    for content in (second + first, bytes(PAGE)):
        whole = file.read_bytes()
        damage(file, OFFSET + PAGE, content)
        with pytest.raises(SealError, match="its values don't add up"):
            read_values(file, stated, verify=True)
        file.write_bytes(whole)


@pytest.mark.parametrize("position", [HEADER_BYTES, OFFSET - 1, OFFSET + SIZE, OFFSET + SIZE + 30])
def test_any_changed_byte_around_the_values_is_found(file: Path, position: int) -> None:
    stated = add_up(file, OFFSET, SIZE)
    damage(file, position, bytes([file.read_bytes()[position] ^ 1]))
    with pytest.raises(SealError, match="the description of its values doesn't match the SHA-256"):
        check_rest(file, stated)


def test_a_file_that_ends_before_its_values_do_is_damaged(file: Path) -> None:
    stated = add_up(file, OFFSET, SIZE)
    file.write_bytes(file.read_bytes()[: OFFSET + SIZE - 1])
    with pytest.raises(SealError, match="it ends before its values do"):
        read_values(file, stated, verify=False)


def test_no_values_have_sums_too(file: Path) -> None:
    stated = add_up(file, HEADER_BYTES, 0)
    assert not len(read_values(file, stated, verify=True))


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        (None, "its header states no sums"),
        ({"offset": 1}, "its header states no sums"),
        ({"offset": 5, "bytes": 3, "values": "", "rest": ""}, "its values lie outside"),
        ({"offset": 2000, "bytes": 3001, "values": "", "rest": ""}, "its values lie outside"),
        ({"offset": 2000, "bytes": -1, "values": "", "rest": ""}, "its values lie outside"),
        ({"offset": "a", "bytes": 1, "values": "", "rest": ""}, "its header states no sums"),
    ],
)
def test_a_header_that_states_no_usable_sums_is_damaged(sums: object, message: str) -> None:
    fields = {} if sums is None else {"sums": sums}
    with pytest.raises(SealError, match=message):
        PackSums.of(Header(fields, "", 5000, 0))
