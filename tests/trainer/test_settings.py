"""Settings and presets."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from cache.codec import fields_to_json
from cache.settings import SettingsError, read_toml
from pipeline.extract.choices import DEFAULT_SETS
from trainer.heads.stack import why_not_stacked
from trainer.settings import (
    DEFAULT_PRESET,
    PRESETS,
    FusionSettings,
    HeadSettings,
    TrainSettings,
    format_toml,
    inner_share,
    list_toml,
    load_preset,
    load_settings,
    settings_from_dict,
    used_set_names,
)


def names(settings: Any, prefix: str = "") -> set[str]:
    found = set()
    for item in fields(settings):
        value = getattr(settings, item.name)
        found |= names(value, f"{item.name}.") if is_dataclass(value) else {f"{prefix}{item.name}"}
    return found


def test_the_presets_of_both_papers_and_our_own_come_with_the_package() -> None:
    assert list_toml(PRESETS) == ["deep-fusion", "fast", "icmi19", "svm"]


def test_the_default_preset_needs_no_encoder_and_its_seeds_are_trained_as_one() -> None:
    assert DEFAULT_PRESET == "fast"
    assert not why_not_stacked([load_settings(DEFAULT_PRESET)])


def test_extract_makes_by_default_what_the_default_preset_reads() -> None:
    assert used_set_names(load_settings(DEFAULT_PRESET)) == DEFAULT_SETS.split(",")


@pytest.mark.parametrize("preset", list_toml(PRESETS))
def test_a_preset_states_every_setting_so_that_one_page_shows_the_whole_choice(
    preset: str,
) -> None:
    tables = load_preset(preset)
    stated = {key for key, value in tables.items() if not isinstance(value, dict)}
    for table, values in tables.items():
        if isinstance(values, dict):
            stated |= {f"{table}.{key}" for key in values}
    assert stated == names(TrainSettings())


def test_the_presets_differ_where_the_papers_do() -> None:
    icmi19, deep_fusion = load_settings("icmi19"), load_settings("deep-fusion")
    assert icmi19.optim == deep_fusion.optim
    assert icmi19.fusion == deep_fusion.fusion == FusionSettings("fbp", 128, 4, 0.3)
    assert icmi19.video == deep_fusion.video
    assert (icmi19.audio.scale, icmi19.audio.pooled) == (1.0, "reduced")
    assert (deep_fusion.audio.scale, deep_fusion.audio.pooled) == (0.0, "unreduced")


def test_an_override_changes_one_setting_and_keeps_the_rest() -> None:
    settings = load_settings("icmi19", ["video.set=resnet18", "optim.epochs=3", "fusion.rank=2"])
    assert settings.video.set == "resnet18"
    assert settings.optim.epochs == 3
    assert settings.fusion == FusionSettings(rank=2)
    assert settings.audio == load_settings("icmi19").audio


def test_an_unknown_preset_is_refused_and_the_known_ones_listed() -> None:
    with pytest.raises(
        SettingsError, match="unknown preset 'icmi91'; known: deep-fusion, fast, icmi19, svm"
    ):
        load_preset("icmi91")


def test_a_preset_may_be_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(format_toml(fields_to_json(TrainSettings(seed=7))))
    assert load_settings(str(path)) == TrainSettings(seed=7)


def test_settings_survive_being_written_and_read() -> None:
    settings = load_settings("deep-fusion", ["prior=sqrt-train", "selection=inner:0.25"])
    assert settings_from_dict(fields_to_json(settings)) == settings


def test_numbers_and_text_of_any_kind_are_read_back_from_toml_and_none_is_left_out(
    tmp_path: Path,
) -> None:
    values = {
        "rate": 1e-05, "third": 1 / 3, "huge": 1e300, "limit": float("inf"), "whole": 7, "on": True,
        "text": 'día "1"\\\n\x7f', "sets": ["a+b", "c"], "runs": {"weights": [0.5, 2.0]},
    }  # fmt: skip
    path = tmp_path / "all.toml"
    path.write_text(format_toml({**values, "threads": None}), encoding="utf-8")
    assert read_toml(path) == values


def test_an_unknown_setting_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(SettingsError, match=r"video\.atention; did you mean video\.attention"):
        load_settings("icmi19", ["video.atention=self"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("video.scale=1.5", r"video: scale \(the papers' lambda\) must be in \[0, 1\], got 1.5"),
        ("audio.scale=-0.5", r"audio: scale .* got -0.5"),
        ("video.set=a++b", "joined by \\+, got 'a\\+\\+b'"),
        ("video.hidden_dim=0", "hidden_dim must be at least 1, got 0"),
        ("video.embedding_dim=-1", "embedding_dim must be at least 0, got -1"),
        ("video.embedding_dropout=1.0", "embedding_dropout must be at least 0 and below 1"),
        ("video.encoder=alexnet", r"unknown setting video\.encoder"),
        ("audio.encoder=vgg", "audio: encoder must be one of none, alexnet, cnn, got 'vgg'"),
        (
            "video.attention=none",
            "attention must be one of mean, self, relation, transformer, statistics,",
        ),
        ("fusion.kind=sum", r"fusion\.kind must be one of fbp, concat, late, video, audio"),
        ("fusion.rank=0", "rank must be at least 1, got 0"),
        ("fusion.dropout=-0.1", "dropout must be at least 0 and below 1, got -0.1"),
        ("optim.epochs=0", "epochs must be at least 1, got 0"),
        ("optim.learning_rate=0", "learning_rate must be above 0, got 0"),
        ("optim.learning_rate=nan", "learning_rate must be a finite number, got nan"),
        ("optim.weight_decay=-1", "weight_decay must be at least 0"),
        ("optim.label_smoothing=1", "label_smoothing must be at least 0 and below 1"),
        ("selection=best", "selection must be fixed, or inner:SHARE .* got 'best'"),
        ("selection=inner:1.5", "selection must be fixed, or .* got 'inner:1.5'"),
        ("prior=test", "prior must be one of none, train, sqrt-train, afew-test, got 'test'"),
        ("seed=-1", "seed must be at least 0, got -1"),
    ],
)
def test_a_value_that_means_nothing_is_refused(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings("icmi19", [override])


def test_selection_names_the_share_held_out() -> None:
    assert inner_share("fixed") is None
    assert inner_share("inner:0.2") == 0.2


@pytest.mark.parametrize(
    ("kind", "modalities"),
    [("fbp", ("video", "audio")), ("video", ("video",)), ("audio", ("audio",))],
)
def test_the_fusion_decides_which_modalities_are_read(
    kind: Any, modalities: tuple[str, ...]
) -> None:
    settings = HeadSettings(fusion=FusionSettings(kind))
    assert settings.modalities == modalities
    assert settings.modality("audio") is settings.audio
    assert settings.modality("video") is settings.video
