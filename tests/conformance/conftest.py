"""The suite's marks, and the maker of its files. Fixtures build; they never assert."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.conformance.making import Studio

pytest.register_assert_rewrite("tests.conformance.cuts")

# The tests state what this version of ffmpeg gets wrong itself; another gets other things wrong.
VERSION = "5.1"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of this folder, before ``-m`` chooses."""
    item.add_marker("conformance")
    item.add_marker("slow")


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """The maker of files; every test that needs ffmpeg asks for it."""
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} not found; Debian's package is called ffmpeg")
    command = ["ffmpeg", "-version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    version = re.match(r"ffmpeg version n?(\d+\.\d+)", answer)
    if version is None or version[1] != VERSION:
        pytest.skip(f"needs ffmpeg {VERSION}, as in Debian 12; here is {answer.splitlines()[0]}")
    return Studio(tmp_path_factory.mktemp("conformance"))
