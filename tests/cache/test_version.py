from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from cache.version import own_version


def test_it_is_the_installed_version_and_none_where_only_the_folder_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cache.version.version", lambda name: f"7.5 of {name}")
    assert own_version() == "7.5 of avfuse"

    def nothing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("cache.version.version", nothing)
    assert own_version() == "not installed"
