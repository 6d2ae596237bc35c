from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.commit import CacheWriteError
from cache.digest import digest_array
from cache.entries import writer as entry_writer
from cache.entries.entry import EntryError, read_entry, verify_entry
from cache.entries.source import Source
from cache.entries.writer import EntryWriter
from pipeline.faces.tracks import BoxSource
from tests.cache.conftest import names_in

SOURCE = Source(11, 13, "0" * 64)


def writer_of(folder: Path, clip: str = "a") -> EntryWriter:
    return EntryWriter(
        folder / "00" / f"{clip}.h5", clip=clip, key="f" * 64, source=SOURCE, provenance={}
    )


def some_arrays(rows: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    return {
        "times": np.cumsum(generator.uniform(0.01, 0.1, rows)),
        "basic": generator.normal(size=(rows, 3)).astype(np.float32),
        "box": generator.normal(size=(rows, 2, 5)),
        "rung": generator.integers(0, 3, rows).astype(np.uint8),
        "seen": generator.integers(0, 2, rows).astype(bool),
    }


@pytest.mark.parametrize("chunk_bytes", [1, 24, 100, 1 << 20])
@pytest.mark.parametrize("step", [1, 2, 7, 29])
def test_what_is_appended_in_parts_is_read_back_whole(
    chunk_bytes: int, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_writer, "CHUNK_BYTES", chunk_bytes)
    arrays = some_arrays(29)
    with writer_of(tmp_path) as writer:
        for start in range(0, 29, step):
            writer.append(**{name: array[start : start + step] for name, array in arrays.items()})
        path = writer.finish()
    verify_entry(path)
    entry = read_entry(path)
    assert list(entry.arrays) == ["times", "basic", "box", "rung", "seen"]
    for name, array in arrays.items():
        assert entry[name].dtype == array.dtype
        assert np.array_equal(entry[name], array)
        assert entry.checksums[name] == digest_array(array)


def test_two_writes_of_the_same_are_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_writer, "CHUNK_BYTES", 100)
    contents = []
    for _ in range(2):
        with writer_of(tmp_path) as writer:
            writer.append(**some_arrays(29))
            contents.append(writer.finish(attributes={"frame_size": [3, 5]}).read_bytes())
    assert contents[0] == contents[1]


def test_the_order_in_which_arrays_arrive_does_not_change_the_bytes(tmp_path: Path) -> None:
    arrays = some_arrays(29)
    contents = []
    for order in (list(arrays), list(reversed(arrays))):
        with writer_of(tmp_path) as writer:
            for name in order:
                writer.append(**{name: arrays[name]})
            contents.append(writer.finish().read_bytes())
    assert contents[0] == contents[1]


def test_small_arrays_are_contiguous_and_nothing_is_compressed(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.append(**some_arrays(29))
        path = writer.finish()
    with h5py.File(path) as file:
        assert {dataset.chunks for dataset in file.values()} == {None}


def test_an_array_may_be_used_again_after_it_was_appended(tmp_path: Path) -> None:
    times = np.array([0.5])
    with writer_of(tmp_path) as writer:
        for _ in range(3):
            writer.append(times=times)
            times += 1
        path = writer.finish()
    assert read_entry(path)["times"].tolist() == [0.5, 1.5, 2.5]


def test_a_clip_without_a_step_is_an_entry(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.append(**{name: array[:0] for name, array in some_arrays(29).items()})
        path = writer.finish(missing=("no audio stream",))
    entry = read_entry(path, verify=True)
    assert (entry.state, entry.missing) == ("partial", ("no audio stream",))
    assert entry["basic"].shape == (0, 3)
    assert entry["basic"].dtype == np.float32


def test_arrays_in_a_group_share_their_own_first_axis(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.append(times=np.arange(3.0))
        writer.append(**{"tracks/box": np.ones((5, 4)), "tracks/time": np.ones(5)})
        assert read_entry(writer.finish())["tracks/box"].shape == (5, 4)
    with writer_of(tmp_path) as writer:
        writer.append(times=np.arange(3.0))
        writer.append(**{"tracks/box": np.ones((5, 4)), "tracks/time": np.ones(2)})
        with pytest.raises(EntryError, match="clip a: array tracks/time has 2 steps, tracks/box"):
            writer.finish()


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"basic": np.array([[1.0], [np.nan]])}, "clip a: array basic has nan or inf in row 1"),
        ({"basic": np.array([[np.inf]])}, "clip a: array basic has nan or inf in row 0"),
        ({"basic": np.array(["x"])}, "clip a: array basic must have .*dtype <U1"),
        ({"basic": np.array(1.0)}, r"array basic must have a first axis .*shape \(\)"),
        ({"basic": np.ones(2, ">f4")}, "byte order.*>f4"),
        ({"basic": np.ones(2, np.longdouble)}, "at most 64 bits"),
        ({"basic": np.ones(2, object)}, "array basic must have .*dtype |O"),
        ({"../x": np.ones(2)}, "array ../x: a name has letters"),
        ({"a/b/c": np.ones(2)}, "array a/b/c: a name has letters"),
        ({"times": np.array([0.0, 0.0])}, "strictly increase; step 1 is at 0.0 s, .* at 0.0 s"),
        ({"times": np.array([0.5, 0.2])}, "step 1 is at 0.2 s, the one before at 0.5 s"),
        ({"times": np.zeros(2, np.float32)}, "times must be .T,. float64, .*float32"),
        ({"times": np.zeros((2, 1))}, r"times must be .T,. float64, got shape \(2, 1\)"),
    ],
)
def test_what_can_not_be_an_entrys_array_is_refused_at_once(
    arrays: dict[str, np.ndarray], match: str, tmp_path: Path
) -> None:
    with pytest.raises(EntryError, match=match), writer_of(tmp_path) as writer:
        writer.append(**arrays)
    assert not names_in(tmp_path / "00")


def test_times_must_increase_across_appends(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.append(times=np.array([0.0, 1.0]))
        writer.append(times=np.array([]))
        with pytest.raises(EntryError, match=r"step 2 is at 1\.0 s, the one before at 1\.0 s"):
            writer.append(times=np.array([1.0]))


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (np.ones((2, 5), np.float32), r"began with rows of shape \(3,\).* goes on with \(5,\)"),
        (np.ones((2, 3), np.float64), "dtype float32, goes on with .* float64"),
    ],
)
def test_an_array_may_not_change_shape_or_dtype(
    second: np.ndarray, match: str, tmp_path: Path
) -> None:
    with writer_of(tmp_path) as writer:
        writer.append(basic=np.ones((2, 3), np.float32))
        with pytest.raises(EntryError, match=match):
            writer.append(basic=second)


def test_the_row_of_a_nan_is_counted_from_the_clips_start(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.append(basic=np.ones((5, 3)))
        with pytest.raises(EntryError, match="nan or inf in row 7"):
            writer.append(basic=np.array([[1.0] * 3, [1.0] * 3, [1.0, np.nan, 1.0]]))


def test_lengths_must_agree_and_times_must_be_there(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.append(times=np.arange(3.0), basic=np.ones((2, 5)))
        with pytest.raises(EntryError, match="clip a: array basic has 2 steps, times has 3"):
            writer.finish()
    with writer_of(tmp_path) as writer:
        writer.append(basic=np.ones((2, 5)))
        with pytest.raises(EntryError, match="clip a: it has no array times"):
            writer.finish()
    assert not names_in(tmp_path / "00")


def test_attributes_that_are_not_json_are_refused(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.append(times=np.arange(3.0))
        with pytest.raises(ValueError, match="not JSON compliant"):
            writer.finish(attributes={"fps": float("nan")})
    assert not names_in(tmp_path / "00")


def test_long_provenance_and_the_longest_clip_id_fit(tmp_path: Path) -> None:
    clip = "c" * 200
    writer = EntryWriter(
        tmp_path / "00" / f"{clip}.h5",
        clip=clip,
        key="f" * 64,
        source=Source(
            *(2**62, 2**62, "0" * 64, 12345.6789012345, 22345.6789012345, 2**62, 2**63 - 1)
        ),
        upstream={"u" * 100: "0" * 64},
        provenance={"command": "x" * 200_000},
    )
    with writer:
        writer.append(times=np.arange(3.0))
        sources = {source.name.lower(): 2**31 for source in BoxSource}
        coverage = {"rungs": sources, "longest_gap_seconds": 12345.6789012345}
        facts = {"coverage": coverage, "noted": True, "overrides": "0" * 16}
        entry = read_entry(writer.finish(missing=("é",), facts=facts), verify=True)
    assert len(entry.provenance["command"]) == 200_000
    assert entry.missing == ("é",)


def test_memory_does_not_depend_on_a_clips_length(tmp_path: Path) -> None:
    peaks = []
    for parts in (20, 60):
        tracemalloc.start()
        with writer_of(tmp_path) as writer:
            for part in range(parts):
                block = np.ones((251, 512), np.float32)  # half a megabyte
                writer.append(times=np.arange(251.0) + 251 * part, basic=block)
            writer.finish()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 8 << 20


def test_a_set_folder_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    with (
        pytest.raises(CacheWriteError, match=r"clip a: its entry can't be .*the folder is gone"),
        writer_of(tmp_path / "unmounted"),
    ):
        pass
    assert not names_in(tmp_path)


def test_a_full_disk_names_the_clip_and_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        if offset >= 1 << 20:
            raise OSError(28, "No space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with (  # noqa: PT012 - whichever append fills the disk
        pytest.raises(CacheWriteError, match=r"clip a: its entry .*a\.h5: .*No space .*free space"),
        writer_of(tmp_path) as writer,
    ):
        for part in range(9):
            writer.append(times=np.arange(251.0) + 251 * part, basic=np.ones((251, 512)))
        pytest.fail("the appends had to fail before all was written")
    assert not names_in(tmp_path / "00")
