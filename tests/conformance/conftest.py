"""The suite's marks, and the maker of its files. Fixtures build; they never assert."""

from __future__ import annotations

import shutil

import pytest

from tests.conformance.making import Studio
from tests.conformance.unfinished import UNFINISHED

pytest.register_assert_rewrite("tests.conformance.cuts")

PROGRAMS = ("ffmpeg", "ffprobe")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of this folder, before ``-m`` chooses."""
    item.add_marker("conformance")
    item.add_marker("slow")
    for part, reason in UNFINISHED.items():
        if part in item.nodeid:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """The maker of files; every test that needs ffmpeg asks for it."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        pytest.skip(f"{' and '.join(absent)} not found; Debian's package is called ffmpeg")
    return Studio(tmp_path_factory.mktemp("conformance"))
