from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from cache import commit
from cache.commit import (
    Writer,
    check_place,
    find_death,
    is_alive,
    make_folder,
    sync_folder,
    temporary_path,
    temporary_writer,
    this_writer,
    whole_file,
    whole_folder,
    write_error,
    write_whole,
)
from tests.cache.conftest import names_in


def test_a_text_replaces_what_was_there_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "one", what="the file")
    write_whole(path, "two", what="the file")
    assert path.read_text() == "two"
    assert names_in(tmp_path) == ["a.json"]


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "one", what="the list")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"can't be written to .*a\.json.*free space"):
        write_whole(path, "two", what="the list")
    full_disk = pytest.raises(OSError, match=r"a\.json can't be written.*free space")
    with full_disk, whole_file(path) as temporary:
        temporary.write_text("two")
    with full_disk, whole_folder(tmp_path / "b-a.json"):
        full(0)
    assert path.read_text() == "one"
    assert names_in(tmp_path) == ["a.json"]


def test_a_file_that_is_written_in_parts_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with whole_file(path) as temporary, temporary.open("x") as file:
        file.write("one\n")
        assert not path.exists()
        assert temporary_writer(temporary) == this_writer()
    assert path.read_text() == "one\n"
    with pytest.raises(KeyError), whole_file(path) as temporary:
        raise KeyError(temporary.write_text("two"))
    with (
        pytest.raises(OSError, match=r"gone/b\.csv'$"),
        whole_file(tmp_path / "gone" / "b.csv") as temporary,
    ):
        temporary.write_text("two")
    assert (path.read_text(), names_in(tmp_path)) == ("one\n", ["a.csv"])


def test_a_folder_appears_with_all_that_is_in_it_or_not_at_all(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "new") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "a").read_text() == "1"
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "other") as folder:
        (folder / "b" / "a").write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_the_longest_file_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("\u00e9" * 125 + ".json")
    assert write_whole(path, b"\x00\xff").read_bytes() == b"\x00\xff"
    assert names_in(tmp_path) == [path.name]


def test_a_write_error_survives_the_way_back_from_a_worker() -> None:
    error = write_error("clip a: its entry", Path("/x/a.h5"), OSError(errno.EROFS, "no"))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - what joblib does
    assert str(again) == str(error)
    assert "read-only: mount it writable" in str(error)
    assert error.errno == errno.EROFS


def test_the_cause_of_an_hdf5_error_is_found_in_its_text() -> None:
    error = write_error("x", Path("/x"), RuntimeError("Can't ... errno = 28, error message = ..."))
    assert (error.errno, "free space" in str(error)) == (errno.ENOSPC, True)
    assert "check the disk" in str(write_error("x", Path("/x"), RuntimeError("odd")))


def test_a_temporary_name_says_who_writes_and_fits_the_longest_clip_id(tmp_path: Path) -> None:
    path = temporary_path(tmp_path / ("c" * 200 + ".h5"))
    assert path.parent == tmp_path
    path.touch()
    assert temporary_writer(path) == this_writer()
    assert temporary_path(tmp_path / "a.h5") != temporary_path(tmp_path / "a.h5")
    for name in ("a.h5", ".a.tmp", "a.tmp", ".DS_Store"):
        assert temporary_writer(tmp_path / name) is None


def test_a_writer_is_alive_until_its_process_ends_and_a_later_process_is_another() -> None:
    me = this_writer()
    assert is_alive(me)
    assert not is_alive(Writer(me.host, me.pid, me.started + 1))
    assert is_alive(Writer(me.host, 1, 0))  # not ours to signal, perhaps; it runs
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not is_alive(Writer(me.host, child.pid, 0))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux says so")
def test_a_killed_writer_that_nobody_waited_for_is_dead() -> None:
    """In a container whose first process waits for none, gc kept their files for ever."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays
        assert not is_alive(Writer(this_writer().host, child.pid, 0))


def test_a_folder_is_made_with_those_above_it_and_twice_is_no_error(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file" / "x")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_folders_is_accepted(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)


def test_a_disk_that_fails_to_flush_a_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)


def test_a_host_without_proc_still_gets_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then no death but that of a process of its own is certain."""

    def look(path: str) -> str:
        raise FileNotFoundError(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "readlink", look)
        commit.this_host.cache_clear()
        here = commit.this_host()
        assert here[:8] == "0" * 8
        assert len(here) == 16
        file = temporary_path(tmp_path / "a.h5")
        for host in (here, "1" * 16, here[:8] + "1" * 8):
            assert find_death(file, Writer(host, os.getpid(), 0)) == ""
    commit.this_host.cache_clear()


ME = this_writer()
OTHER = f"{int(ME.host[0], 16) ^ 1:x}"  # for the first digit of another host or start


@pytest.mark.parametrize(
    ("host", "alive"),
    [
        (ME.host, True),
        (OTHER + ME.host[1:], None),  # another machine of this name, or before a restart
        (ME.host[:8] + "12345678", None),  # another container on this machine
        ("12345678", True),  # of an older version, with this number and this start
    ],
)
def test_a_process_is_asked_for_only_where_its_number_means_the_same(
    host: str, alive: bool | None
) -> None:
    """A second machine of the same name removed the files of live writers."""
    assert is_alive(Writer(host, ME.pid, ME.started)) is alive
    other = is_alive(Writer(host, ME.pid, ME.started + 1))
    assert other is (False if host == ME.host else None)


def test_a_writer_before_a_restart_is_dead_where_no_other_machine_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Writer(OTHER + ME.host[1:], ME.pid, ME.started)
    file = temporary_path(tmp_path / "a.h5")
    monkeypatch.setattr(commit, "_LOCAL", ("ext4", "xfs", "btrfs", "tmpfs", "overlay"))
    assert "started anew" in find_death(file, before)
    assert find_death(file, Writer("12345678", ME.pid, ME.started + 1)) == ""
    monkeypatch.setattr(commit, "_LOCAL", ())  # as of an NFS
    assert find_death(file, before) == ""


@pytest.mark.parametrize(
    ("pid", "started"),
    [("9" * 20, "1"), ("0", "1"), ("-1", "1"), (str(2**31), "1"), ("1", "9" * 20), ("1", "-1")],
)
def test_a_forged_name_is_no_temporary_file(pid: str, started: str, tmp_path: Path) -> None:
    """A number of 20 digits was a traceback; 0 and -1 stand for whole groups of processes."""
    name = f".a.{this_writer().host}.{pid}-{started}.0a1b2c.tmp"
    assert temporary_writer(tmp_path / name) is None
    with pytest.raises(ValueError, match="no process has number"):
        Writer(this_writer().host, int(pid), int(started))


def test_names_of_older_versions_are_temporary_files(tmp_path: Path) -> None:
    name = ".clip.1.01234567.123-456.0a1b2c.tmp"
    assert temporary_writer(tmp_path / name) == Writer("01234567", 123, 456)


def test_a_folder_that_takes_the_number_of_one_that_is_gone_is_flushed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(commit, "sync_folder", flushed.append)
    for _ in range(3):
        make_folder(tmp_path / "run")
        (tmp_path / "run").rmdir()
    assert flushed.count(tmp_path) == 3


def test_a_folder_that_another_process_makes_just_then_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.path.lexists

    def make_first(path: Path) -> bool:
        path.mkdir()
        return there(path)

    monkeypatch.setattr(os.path, "lexists", make_first)
    check_place(tmp_path / "run")
    assert (tmp_path / "run").is_dir()
