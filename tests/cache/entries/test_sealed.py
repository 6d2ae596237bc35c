from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.commit import CacheWriteError
from cache.entries import sealed
from cache.entries.sealed import (
    HEADER_BYTES,
    LayoutError,
    SealedFile,
    SealError,
    read_header,
    verify_body,
)
from tests.cache.conftest import names_in


def write(path: Path, rows: int = 11) -> Path:
    with SealedFile(path, "pack", "the pack") as file:
        with file.writing():
            file.h5.create_dataset("x", data=np.arange(rows))
        return file.commit({"name": "n"})


@contextmanager
def at_most(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk does, in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_sealed_file_is_hdf5_with_a_readable_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    content = path.read_bytes()
    header = read_header(path, "pack")
    assert content.startswith(b"avfuse pack 2\n{")
    assert header.fields == {"name": "n"}
    assert header.body_sha256 == hashlib.sha256(content[HEADER_BYTES:]).hexdigest()
    assert header.bytes == len(content)
    with h5py.File(path) as file:
        assert file["x"][...].tolist() == list(range(11))
    verify_body(path, header)
    assert names_in(tmp_path) == ["a.h5"]


def test_a_flipped_bit_in_any_byte_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with path.open("r+b", buffering=0) as file:
        for position, byte in enumerate(path.read_bytes()):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << position % 8]), position)
            with pytest.raises(SealError, match=r"header|starts with|bytes instead|SHA-256"):
                verify_body(path, read_header(path, "pack"))
            os.pwrite(file.fileno(), bytes([byte]), position)
    verify_body(path, read_header(path, "pack"))


def test_every_truncation_and_a_byte_too_many_are_found_by_the_header_alone(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.h5")
    size = path.stat().st_size
    for length in [size + 1, *reversed(range(size))]:
        os.truncate(path, length)
        with pytest.raises(SealError, match=r"header is damaged|starts with|bytes instead of"):
            read_header(path, "pack")


def test_a_file_of_another_kind_or_layout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.h5")
    with pytest.raises(SealError, match="starts with b'avfuse pack 2' instead of 'avfuse entry 2'"):
        read_header(path, "entry")
    monkeypatch.setattr(sealed, "LAYOUT", 3)
    with pytest.raises(LayoutError, match="it has layout 2, this version of avfuse 3"):
        read_header(path, "pack")


@pytest.mark.parametrize("line", ["[1]", "{}", '{"body_bytes":"x"}', "[" * 900])
def test_a_header_that_is_sealed_but_not_ours_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    text = f"avfuse pack 2\n{line}\n".encode()
    seal = hashlib.sha256(text).hexdigest().encode()
    path.write_bytes((text + seal + b"\n").ljust(HEADER_BYTES, b"\0"))
    with pytest.raises(SealError, match="header"):
        read_header(path, "pack")


def test_a_missing_file_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        read_header(tmp_path / "gone", "pack")


def test_left_without_commit_nothing_appears_and_what_was_there_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    before = path.read_bytes()

    def interrupted() -> None:
        with SealedFile(path, "pack", "the pack") as file:
            file.h5.create_dataset("y", data=np.ones(1000))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with SealedFile(path, "pack", "the pack"):
        pass
    assert names_in(tmp_path) == ["a.h5"]
    assert path.read_bytes() == before


def test_header_fields_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with (
        SealedFile(tmp_path / "a.h5", "pack", "the pack") as file,
        pytest.raises(ValueError, match=r"at most 2048 bytes, this one 2[0-9]{3}"),
    ):
        file.commit({"name": "n" * 2000})
    assert not names_in(tmp_path)


def test_a_folder_that_is_gone_or_forbidden_is_one_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(CacheWriteError, match=r"the pack can't be written.*the folder is gone"),
        SealedFile(tmp_path / "gone" / "a.h5", "pack", "the pack"),
    ):
        pass


@pytest.mark.parametrize("num_bytes", [0, 1, 1023, 1024, 1100, 1300, 2000, 5000, 9000])
def test_a_write_that_fails_anywhere_is_one_clear_error_and_leaves_nothing(
    num_bytes: int, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.h5")
    before, open_before = path.read_bytes(), names_in(Path("/proc/self/fd"))
    with (
        at_most(num_bytes),
        pytest.raises(CacheWriteError, match=r"the pack can't be written to .*a\.h5: .*File too"),
    ):
        write(path, rows=1300)
    assert names_in(tmp_path) == ["a.h5"]
    assert path.read_bytes() == before
    assert names_in(Path("/proc/self/fd")) == open_before


def test_an_interrupt_that_arrives_inside_hdf5_arrives_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int, data: bytes, offset: int) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "pwrite", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.h5")
    assert not names_in(tmp_path)


def test_a_disk_that_fails_to_flush_commits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CacheWriteError, match="Input/output error; check the disk"):
        write(tmp_path / "a.h5")
    assert not names_in(tmp_path)


def test_a_write_that_fails_once_and_works_again_is_still_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    calls: list[int] = []

    def flicker(descriptor: int, data: memoryview, offset: int) -> int:
        calls.append(offset)
        if len(calls) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", flicker)
    with pytest.raises(CacheWriteError, match="Input/output error"):
        write(tmp_path / "a.h5")
    assert len(calls) == 1  # nothing more was tried
    assert not names_in(tmp_path)


def test_the_file_is_on_the_disk_before_its_name_and_the_name_before_commit_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    real = os.fsync
    synced: list[str] = []

    def record(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").resolve()
        if target == tmp_path:
            synced.append(f"folder with {names_in(tmp_path)}")
        else:
            read_header(target, "pack")  # sealed already
            synced.append(f"file, {'with' if path.exists() else 'without'} its name")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write(path)
    assert synced == ["file, without its name", "folder with ['a.h5']"]


FULL_DISK = """
import os, sys
from pathlib import Path
import numpy as np
from cache.commit import CacheWriteError
from cache.entries.sealed import SealedFile, read_header, verify_body

folder = Path(sys.argv[1])
filler = folder / "filler"
results = []
descriptors = len(os.listdir("/proc/self/fd"))
for left in [0, 4096, 8192, 12288, 16384, 24576, 32768, 65536, 131072]:
    filler.write_bytes(b"")
    with SealedFile(folder / "a.h5", "entry", "clip a: its entry") as file:
        state = os.statvfs(folder)
        with open(filler, "wb", buffering=0) as f:
            f.write(b"x" * max(0, state.f_bavail * state.f_bsize - left))
        try:
            for number in range(40):
                with file.writing():
                    dataset = file.h5.create_dataset(f"d{number}", data=np.ones(130))
                    dataset.attrs["sha256"] = np.bytes_("0" * 64)
            file.commit({})
            results.append("ok")
        except CacheWriteError as error:
            assert "No space left on device; free space on that disk" in str(error), error
            results.append("full")
    if results[-1] == "ok":
        verify_body(folder / "a.h5", read_header(folder / "a.h5", "entry"))
        os.unlink(folder / "a.h5")
    assert os.listdir(folder) == ["filler"], os.listdir(folder)
    assert len(os.listdir("/proc/self/fd")) == descriptors
print(*results)
"""


def test_a_really_full_disk_neither_crashes_hdf5_nor_keeps_the_space(tmp_path: Path) -> None:
    """HDF5 writing to the disk itself ended in a segmentation fault here."""
    inside = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", inside, "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    run = subprocess.run(
        [*command, sys.executable, "-X", "faulthandler", "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent.parent.parent,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    results = run.stdout.split()
    assert results[0] == "full"
    assert results[-1] == "ok"
    assert results == sorted(results)  # never full with more space than was enough
