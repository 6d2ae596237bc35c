from __future__ import annotations

import json
from pathlib import Path

import pytest

from cache.commit import CacheWriteError
from cache.feature_set import FeatureSet
from cache.set_spec import SetError, SetSpec
from cache.spec_file import read_spec_file, write_spec_file
from tests.cache.conftest import names_in


def test_spec_and_provenance_are_read_back_and_a_date_is_added(tmp_path: Path) -> None:
    spec = SetSpec("a", {"x": [1, 2.5]}, 3, upstream={"faces": "b" * 64})
    write_spec_file(tmp_path / spec.folder, spec, {"host": "h"})
    found, provenance = read_spec_file(tmp_path / spec.folder)
    assert found == spec
    assert provenance.pop("date").startswith("20")
    assert provenance == {"host": "h"}


def test_a_folder_without_the_file_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"is not a feature set: it has no set\.json"):
        read_spec_file(tmp_path)


def test_every_changed_character_is_found(feature_set: FeatureSet) -> None:
    path = feature_set.folder / "set.json"
    content = path.read_bytes()
    blank = b" \n"
    for position, byte in enumerate(content):
        if byte not in blank:  # the layout of the text carries no meaning
            path.write_bytes(content[:position] + bytes([byte ^ 1]) + content[position + 1 :])
            with pytest.raises(SetError, match=r"set\.json"):
                read_spec_file(feature_set.folder)


@pytest.mark.parametrize("text", ["[]", "{}", '{"checksum": 1}', "[" * 100_000, "\x00"])
def test_a_file_that_is_no_spec_is_found(text: str, feature_set: FeatureSet) -> None:
    (feature_set.folder / "set.json").write_text(text)
    with pytest.raises(SetError, match=r"is damaged: .*extract again"):
        read_spec_file(feature_set.folder)


def test_a_set_of_another_layout_says_so(feature_set: FeatureSet) -> None:
    path = feature_set.folder / "set.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "layout": 99}))
    with pytest.raises(SetError, match="has layout 99, this version of avfuse 1"):
        read_spec_file(feature_set.folder)


def test_a_renamed_folder_is_found(feature_set: FeatureSet) -> None:
    other = feature_set.folder.with_name("resnet18-0123456789abcdef")
    feature_set.folder.rename(other)
    with pytest.raises(SetError, match="key, checksum and folder name don't agree"):
        read_spec_file(other)


def test_a_folder_that_can_not_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spec = SetSpec("a", {}, 1)
    with pytest.raises(CacheWriteError, match="feature set a can't be written"):
        write_spec_file(tmp_path / "file" / spec.folder, spec, {})
    assert names_in(tmp_path) == ["file"]
