"""Arrays that declare more than they hold, or than anyone wants in memory, are refused unread."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.exchange.arrays import GIB, Npz, read_npy
from pipeline.exchange.settings import ImportRefusedError, ImportSettings
from pipeline.exchange.sources import open_source
from tests.pipeline.import_sources import npz, refused, run, values

TIB = 1 << 40


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """The first bytes of an npy file that declares such an array."""
    file = io.BytesIO()
    fields: dict[str, Any] = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, fields)
    return file.getvalue()


def archive(folder: Path, data: bytes, name: str = "a.npy", **how: Any) -> Path:
    """Write an npz of one member."""
    path = folder / "source.npz"
    with zipfile.ZipFile(path, "w", **{"compression": zipfile.ZIP_DEFLATED, **how}) as file:
        file.writestr(name, data)
    return path


def declare(path: Path, num_bytes: int) -> Path:
    """Make the directory of a one-member archive say another size of its member."""
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        start = data.index(signature) + at
        data[start : start + 4] = num_bytes.to_bytes(4, "little")
    path.write_bytes(data)
    return path


def read(path: Path, limit: int, *names: str) -> list[np.ndarray]:
    """Read arrays together."""
    with closing(Npz(path, limit)) as file:
        return file.read_together(list(names))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(15.0).reshape(5, 3),
        np.asfortranarray(np.arange(15.0).reshape(5, 3)),
        np.arange(15).reshape(5, 3).astype(">f8"),
        np.arange(15).reshape(5, 3).astype(">i2"),
        np.arange(15).reshape(5, 3).astype("<f2"),
    ],
)
@pytest.mark.parametrize("form", ["npz", "npy-folder"])
def test_any_order_of_bytes_and_axes_gives_the_same_features(
    tmp_path: Path, array: np.ndarray, form: str
) -> None:
    source = npz(tmp_path, a=array) if form == "npz" else tmp_path / "folder"
    if form == "npy-folder":
        source.mkdir()
        np.save(source / "a.npy", array)
    report = run(tmp_path, source, ["a"], format=form, rate=1.0)
    assert values(report, "a").tolist() == np.arange(15).reshape(5, 3).tolist()


def test_an_array_of_zeros_may_be_compressed_a_thousand_to_one(tmp_path: Path) -> None:
    path = tmp_path / "source.npz"
    np.savez_compressed(path, a=np.zeros((1_000_000, 2)))
    assert path.stat().st_size < 20_000
    report = run(tmp_path, path, ["a"], rate=25.0)
    assert report.steps == {"a": 1_000_000}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((TIB, 3), "declares 13,194,139,533,312 bytes, of shape (1099511627776, 3), and has 8"),
        ((1 << 62, 1 << 62), "declares 85,070,591,730,234,615,865,843,651,857,942,052,864 bytes"),
        ((1, 1), "declares 4 bytes, of shape (1, 1), and has 8"),
        ((-1, -2), "has the shape (-1, -2)"),
    ],
)
@pytest.mark.parametrize("form", ["npz", "npy-folder"])
def test_a_header_that_is_not_true_is_refused_before_anything_is_read(
    tmp_path: Path, shape: tuple[int, ...], message: str, form: str
) -> None:
    data = header(shape) + bytes(8)
    source = archive(tmp_path, data) if form == "npz" else tmp_path / "folder"
    if form == "npy-folder":
        source.mkdir()
        (source / "a.npy").write_bytes(data)
    assert message in refused(tmp_path, source, ["a"], format=form)


def test_a_directory_that_declares_more_than_can_be_packed_is_refused(tmp_path: Path) -> None:
    size = 2 * GIB
    path = declare(archive(tmp_path, header((size // 4,)) + bytes(100)), size)
    message = refused(tmp_path, path, ["a"])
    assert "member 'a.npy' declares 2,147,483,648 bytes in " in message
    assert "more than they can hold" in message


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, header((500,)) + bytes(2000), compression=zipfile.ZIP_STORED)
    data = path.read_bytes()
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    again = data[start:end].replace(b"a.npy", b"b.npy")  # the same bytes under another name
    count = (2).to_bytes(2, "little")
    length = (2 * len(again)).to_bytes(4, "little")
    tail = data[end : end + 8] + count + count + length + data[end + 16 :]
    path.write_bytes(data[:end] + again + tail)
    assert "bytes of members and has" in refused(tmp_path, path, ["a"])


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "source.npz"  # all that it declares is true
    np.savez_compressed(path, a=np.zeros(20_000_000, np.float32))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(ImportRefusedError, match=r"takes 0\.0745 GiB of memory, more than the"):
            read(path, GIB // 20, "a")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_arrays_held_together_count_together(tmp_path: Path) -> None:
    path = npz(tmp_path, clip=np.array(["a", "b"]), x=np.ones((2, 100)))
    with pytest.raises(ImportRefusedError, match="pass --max-gib if that is right"):
        read(path, 1500, "clip", "x")
    assert [len(array) for array in read(path, 3000, "clip", "x")] == [2, 2]


@pytest.mark.parametrize(
    ("name", "data", "how", "message"),
    [
        ("data.pkl", b"x", {}, "member 'data.pkl' is no npy file"),
        ("a.npy", header((2,)) + bytes(8), {"compression": zipfile.ZIP_BZIP2}, "by method 12"),
        ("a.npy", header((), "<f4") + bytes(4), {}, "expected shape (D,) or (T, D), got ()"),
        ("a.npy", header((2,), "|O") + bytes(16), {}, "array a: holds Python objects"),
        ("a.npy", header((2,), "<c8") + bytes(16), {}, "expected numbers, got dtype complex64"),
        ("a.npy", header((2,), "<M8[s]") + bytes(16), {}, "got dtype datetime64[s]"),
        ("a.npy", b"\x93NUMPY\x09\x00" + bytes(99), {}, "npy's format 9.0"),
        ("a.npy", b"", {}, "array a: EOF"),
    ],
)
def test_members_that_are_no_array_of_numbers_are_refused(
    tmp_path: Path, name: str, data: bytes, how: dict[str, Any], message: str
) -> None:
    assert message in refused(tmp_path, archive(tmp_path, data, name, **how), ["a"])


def test_a_member_whose_bytes_were_changed_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, header((2,)) + bytes(8), compression=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") - 1] ^= 1
    path.write_bytes(data)
    assert "array a: Bad CRC-32" in refused(tmp_path, path, ["a"])


def test_names_that_lead_elsewhere_write_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    path = npz(folder, **{"../../x": np.ones(2), "/etc/x": np.ones(2), "a": np.ones(2)})
    report = run(folder, path, ["a"])
    assert report.unused == ("../../x", "/etc/x")
    assert {p.name for p in tmp_path.iterdir()} == {"here"}


def test_a_thousand_members_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = npz(tmp_path, **{f"c{i}": np.full(3, i) for i in range(1000)})
    with pytest.raises(ImportRefusedError):
        read(path, 100, "c0", "c1")
    with closing(Npz(path, 23)) as file, pytest.raises(ImportRefusedError, match="--max-gib"):
        file.read("c0")
    with closing(Npz(path, 24)) as file:  # enough for one of them
        assert [file.read(name)[0] for name in file.names] == list(range(1000))


def test_an_open_npy_file_that_ends_early_is_refused() -> None:
    with pytest.raises(ValueError, match="declares 400 bytes, of shape"):
        read_npy(io.BytesIO(header((100,)) + bytes(7)), len(header((100,))) + 7, GIB)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_are_refused_and_nothing_else_goes_wrong(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    whole = npz(tmp_path, a=np.arange(15.0).reshape(5, 3), b=np.ones(3)).read_bytes()
    path = tmp_path / "damaged.npz"
    outcomes: set[int | str] = set()
    for _ in range(200):
        data = bytearray(whole)
        at, length = int(generator.integers(len(data))), int(generator.integers(5))
        data[at : at + length] = generator.bytes(int(generator.integers(5)))
        path.write_bytes(data)
        try:
            with closing(Npz(path, GIB)) as file:
                outcomes.add(sum(file.read(name).size for name in file.names))
        except ImportRefusedError as error:
            outcomes.add(str(error)[: len(str(path))])
    assert outcomes <= {15 + 3, str(path)}
    assert str(path) in outcomes


@pytest.mark.parametrize("form", ["npz", "npy-folder"])
def test_an_array_of_no_bytes_can_declare_no_features_without_end(
    tmp_path: Path, form: str
) -> None:
    data = header((0, TIB))
    source = archive(tmp_path, data) if form == "npz" else tmp_path / "folder"
    if form == "npy-folder":
        source.mkdir()
        (source / "a.npy").write_bytes(data)
    message = refused(tmp_path, source, ["a"], format=form)
    assert "has 1,099,511,627,776 features a step; at most 1,000,000" in message


def test_ids_of_no_bytes_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, header((TIB,), "<U0"), "clip.npy")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("x.npy", header((1,)) + bytes(4))
    message = refused(tmp_path, path, ["a"])
    assert "has the shape (1099511627776,) and the dtype <U0, which hold nothing" in message


def test_ids_count_as_the_texts_that_they_become(tmp_path: Path) -> None:
    path = npz(tmp_path, clip=np.array(["a"] * 1000), x=np.ones((1000, 1), np.float32))
    settings = ImportSettings("npz", rate=1.0)
    with pytest.raises(ValueError, match="GiB of memory, more than the"):
        open_source([path], settings, 10_000)
