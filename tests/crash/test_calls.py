"""The watch of calls against the kernel's own word, by ``strace`` (the Debian package)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.operations import OPERATIONS
from tests.crash.states import ROOT

CHANGES = (
    "open,openat,openat2,creat,write,writev,pwrite64,pwritev,pwritev2,sendfile,copy_file_range,"
    "fallocate,truncate,ftruncate,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,"
    "linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,mknod,mknodat"
)
KINDS = {
    "pwrite64": "write",
    "fdatasync": "fsync",
    "renameat": "rename",
    "renameat2": "rename",
    "mkdirat": "mkdir",
    "unlinkat": "unlink",
    "rmdir": "unlink",
}
STEPS = {
    "Write": "write",
    "Resize": "ftruncate",
    "Leave": "unlink",
    "Move": "rename",
    "Flush": "fsync",
}
WATCHED = (
    "first entry of a set",
    "failure of a new video",
    "pack",
    "gc --set",
    "train --overwrite",
)
INTERRUPTED = ("entry over another", "pack", "train")
# Carries operations out and prints what was noted; between two calls each, which strace shows.
WATCH = """
import contextlib, json, os, sys
from pathlib import Path
from tests.crash.calls import Watch
from tests.crash.operations import OPERATIONS

noted = {}
for name in sys.argv[3:]:
    operation, folder = OPERATIONS[name], Path(sys.argv[1]) / name
    folder.mkdir()
    operation.prepare(folder, Path(sys.argv[2]))
    watch = Watch(folder)
    with watch.watching():
        with contextlib.suppress(OSError):
            os.rmdir(f"/begin {name}/")
        operation.act(folder, Path(sys.argv[2]), watch.mark)
        with contextlib.suppress(OSError):
            os.rmdir(f"/end {name}/")
    noted[name] = [[type(step).__name__, getattr(step, "is_folder", 0)] for step in watch.steps]
print(json.dumps(noted))
"""
ACT = """
import sys
from pathlib import Path
from tests.crash.operations import OPERATIONS
for name in sys.argv[3:]:
    OPERATIONS[name].act(Path(sys.argv[1]) / name, Path(sys.argv[2]), lambda: None)
"""


@pytest.fixture
def strace() -> str:
    path = shutil.which("strace")
    if not path:
        pytest.skip("needs strace")
    if subprocess.run([path, "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("strace may not trace processes here")
    return path


def trace(strace: str, options: list[str], program: list[str], log: Path) -> str:
    """Run a program under strace and return what it printed; the log has its calls."""
    command = [strace, "-f", "--seccomp-bpf", "-y", "-s", "0", "-o", str(log)]
    for option in options:
        command += ["-e", option]
    command += [sys.executable, "-c", *program]
    run = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, timeout=250
    )
    return run.stdout


def called(log: str, folder: Path) -> list[str]:
    """Changes below the folder that strace saw succeed while its operation was carried out."""
    during = log.partition(f"/begin {folder.name}/")[2].partition(f"/end {folder.name}/")[0]
    kinds = []
    for line in during.splitlines():
        match = re.match(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)", line)
        if match and int(match[3]) >= 0 and str(folder) in match[2]:
            kind = KINDS.get(match[1], match[1])
            if kind != "openat":
                kinds.append(kind)
            elif "O_CREAT" in match[2]:
                kinds.append("create")
    return kinds


@pytest.mark.slow
def test_the_watch_misses_no_change_that_the_kernel_sees(
    strace: str, outside: Path, tmp_path: Path
) -> None:
    log = tmp_path / "trace"
    program = [WATCH, str(tmp_path), str(outside), *WATCHED]
    for name, steps in json.loads(trace(strace, [f"trace={CHANGES}"], program, log)).items():
        noted = [
            STEPS.get(step) or ("mkdir" if is_folder else "create")
            for step, is_folder in steps
            if step != "Mark"
        ]
        assert called(log.read_text(), tmp_path / name) == noted
        assert len(noted) > 6


@pytest.mark.slow
def test_calls_that_a_signal_interrupts_are_repeated(
    strace: str, outside: Path, tmp_path: Path
) -> None:
    """Every other write, flush and change of a length ends with EINTR, from the kernel itself."""
    log, undisturbed, interrupted = (tmp_path / name for name in ("trace", "one", "other"))
    for name in INTERRUPTED:
        for place in (undisturbed / name, interrupted / name):
            place.mkdir(parents=True)
            OPERATIONS[name].prepare(place, outside)
        OPERATIONS[name].act(undisturbed / name, outside, lambda: None)
    calls = "write,pwrite64,fsync,fdatasync,ftruncate"
    options = [f"trace={calls}", f"inject={calls}:error=EINTR:when=1+2"]
    trace(strace, options, [ACT, str(interrupted), str(outside), *INTERRUPTED], log)
    assert log.read_text().count("EINTR (Interrupted system call) (INJECTED)") > 30
    for name in INTERRUPTED:
        look = OPERATIONS[name].look
        assert look(interrupted / name) == look(undisturbed / name)
