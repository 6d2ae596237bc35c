from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from extractors.networks import NETWORKS
from extractors.weights.files import WeightsError
from extractors.weights.identify import (
    NAMES_SHOWN,
    compare,
    compare_with_all,
    differences,
    identify,
)


def tensors_of(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(NETWORKS[name].build().state_dict())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_each_network_is_recognised_by_its_own_names(name: str) -> None:
    matches = compare_with_all(tensors_of(name))
    assert [match.network for match in matches if match.fits] == [name]
    assert matches[0].network == name
    assert matches[0].share == 1
    assert len(matches) == len(NETWORKS)


def test_weights_without_the_counter_of_steps_fit() -> None:
    tensors = {k: v for k, v in tensors_of("resnet18").items() if not k.endswith("tracked")}
    assert compare_with_all(tensors)[0].fits


def test_torchvisions_classifier_is_dropped_whatever_its_size() -> None:
    tensors = tensors_of("resnet18")
    tensors["fc.weight"] = torch.empty(7, 512, device="meta")
    tensors["fc.bias"] = torch.empty(7, device="meta")
    match = compare_with_all(tensors)[0]
    assert match.fits
    assert match.dropped == ("fc.weight", "fc.bias")


def test_vgg_faces_later_layers_are_dropped() -> None:
    tensors = tensors_of("vggface")
    for name in ("fc7.weight", "fc7.bias", "fc8.weight", "fc8.bias"):
        tensors[name] = torch.empty(3, device="meta")
    match = compare_with_all(tensors)[0]
    assert (match.network, match.fits, len(match.dropped)) == ("vggface", True, 4)


def test_every_difference_is_named_with_its_kind() -> None:
    tensors = tensors_of("ir50")
    del tensors["body.7.res_layer.2.weight"]
    tensors["extra"] = torch.empty(2, device="meta")
    tensors["output_layer.3.weight"] = torch.empty(512, 100352, device="meta")
    with torch.device("meta"):
        match = compare("ir50", NETWORKS["ir50"].build(), tensors)
    assert match.missing == ("body.7.res_layer.2.weight",)
    assert match.unexpected == ("extra",)
    assert match.misshapen == ("output_layer.3.weight: [512, 100352], not [512, 25088]",)
    assert not match.fits
    for kind in ("missing", "unexpected", "misshapen"):
        others = {"missing", "unexpected", "misshapen"} - {kind}
        assert not replace(match, **dict.fromkeys(others, ())).fits
    assert match.share == pytest.approx(347 / 350)
    assert differences(match) == (
        "\n  1 missing: body.7.res_layer.2.weight"
        "\n  1 unexpected: extra"
        "\n  1 misshapen: output_layer.3.weight: [512, 100352], not [512, 25088]"
    )


def test_many_differences_are_counted_after_the_first_ten() -> None:
    with torch.device("meta"):
        match = compare("vggface", NETWORKS["vggface"].build(), {})
    text = differences(match)
    assert text.startswith("\n  28 missing: conv1_1.weight, conv1_1.bias, ")
    assert text.endswith(" and 18 more")
    assert text.count(",") == NAMES_SHOWN - 1


def test_a_file_that_fits_nothing_fits_nothing(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.ones(2)}, path)
    assert all(match.share == 0 and not match.fits for match in identify(path))


def test_a_file_that_cant_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        identify(tmp_path / "none.pth")
