"""Which layout a corpus of stills has, and what none can be found in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.layouts_helper import make_folder, reading
from tests.trainer.stills_helper import make_ferplus
from trainer.stills.images.layouts import LAYOUTS, find_layout, read_stills
from trainer.stills.images.parts import StillsError


def test_a_corpus_that_may_be_two_names_both(tmp_path: Path) -> None:
    make_ferplus(tmp_path)
    make_folder(tmp_path, {"sad": 3, "happy": 3})
    with pytest.raises(StillsError, match="may be folder or ferplus; say which with --layout"):
        find_layout(tmp_path)
    assert find_layout(tmp_path, "ferplus") is LAYOUTS["ferplus"]


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StillsError, match="nowhere does not exist"):
        find_layout(tmp_path / "nowhere")
    with pytest.raises(StillsError, match="no layout is called 'mnist'; there are folder, ferplus"):
        find_layout(tmp_path, "mnist")


def test_no_training_images_are_refused(tmp_path: Path) -> None:
    make_ferplus(tmp_path)
    (tmp_path / "train.npz").unlink()
    with pytest.raises(StillsError, match="no training images; there are images of valid, test"):
        read_stills(tmp_path, "ferplus", reading())
    with pytest.raises(StillsError, match=r"has no train\.npz, nor is it an \.npz file"):
        read_stills(tmp_path, "npz", reading())
    make_ferplus(tmp_path)
    (tmp_path / "val.npz").write_bytes(b"")
    with pytest.raises(StillsError, match="both name the valid images"):
        read_stills(tmp_path, "auto", reading())
