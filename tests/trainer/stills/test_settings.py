"""Settings of a fine-tuning: presets, files, overrides, and what is out of range."""

from __future__ import annotations

from pathlib import Path

import pytest

from cache.codec import fields_to_json
from cache.settings import SettingsError, read_toml
from trainer.settings import list_toml
from trainer.stills.settings import PRESETS, FinetuneSettings, load_config


def test_the_preset_is_the_recipe_of_the_default_network_with_every_setting_written_out() -> None:
    config = load_config("ferplus")
    assert config.training == FinetuneSettings(
        network="resnet18", image_size=96, start_size=48, growth_steps=4, grey=True, epochs=26,
        precision="bfloat16",
    )  # fmt: skip
    assert config.threads == 1
    assert list_toml(PRESETS) == ["ferplus", "film"]
    written = read_toml(PRESETS / "ferplus.toml")
    assert set(written) == {*fields_to_json(config.training), "threads"}
    assert set(written["augment"]) == set(fields_to_json(config.training.augment))


def test_settings_are_merged_in_order_and_unknown_ones_refused(tmp_path: Path) -> None:
    file = tmp_path / "more.toml"
    file.write_text("epochs = 3\nthreads = 2\n[data]\nvalid_share = 0.2\n")
    config = load_config("ferplus", file, ["epochs=4", "augment.mixup=0.2", "data.size=64"])
    assert (config.training.epochs, config.training.image_size) == (4, 96)
    assert config.training.augment.mixup == 0.2
    assert (config.data.valid_share, config.data.size, config.threads) == (0.2, 64, 2)
    assert config.stored_size() == 64
    assert load_config().stored_size() == 224
    assert load_config(overrides=["image_size=97"]).stored_size() == 104
    with pytest.raises(SettingsError, match=r"unknown setting epoch; did you mean epochs?"):
        load_config(overrides=["epoch=3"])
    with pytest.raises(SettingsError, match=r"unknown setting data\.sise; did you mean data\.size"):
        load_config(overrides=["data.sise=3"])
    with pytest.raises(SettingsError, match="unknown preset 'x'; known: ferplus"):
        load_config("x")
    with pytest.raises(SettingsError, match="threads must be a whole number from 1 on, got 0"):
        load_config(overrides=["threads=0"])
    with pytest.raises(SettingsError, match=r"data must be a table, such as data\.size=112, got 3"):
        load_config(overrides=["data=3"])
    with pytest.raises(SettingsError, match="growth_steps must be at least 1, got 0"):
        load_config(overrides=["growth_steps=0"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("batch_size", 0, "batch_size must be at least 1"),
        ("growth_steps", 0, "growth_steps must be at least 1"),
        ("image_size", -1, "image_size must be at least 0, got -1"),
        ("weight_decay", -1.0, "weight_decay must be at least 0"),
        ("weight_decay", float("nan"), "weight_decay must be at least 0, got nan"),
        ("learning_rate", float("nan"), "learning_rate must be above 0, got nan"),
        ("seed", -1, "seed must be at least 0"),
        ("ema", 1.0, "ema must be at least 0 and below 1, got 1.0"),
        ("dropout", -0.1, "dropout must be at least 0 and below 1"),
        ("learning_rate", 0.0, "learning_rate must be above 0, got 0.0"),
        ("precision", "int8", "precision must be one of float32, bfloat16, float16, got 'int8'"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FinetuneSettings(**{name: value})


@pytest.mark.parametrize("sizes", [{"start_size": 16}, {"image_size": 16, "start_size": 48}])
def test_images_too_small_for_bfloat16_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="bfloat16 needs images of more than 16 pixels, got 16"):
        FinetuneSettings(precision="bfloat16", **sizes)
    FinetuneSettings(precision="float32", **sizes)
    FinetuneSettings(precision="bfloat16", image_size=17)
