"""Heads: what they compute, what padding and absent modalities do to them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.data.sequences import Steps
from trainer.heads.head import Head, check_shapes, late_logits, make_head
from trainer.settings import (
    AudioSettings,
    FusionSettings,
    HeadSettings,
    KindSettings,
    ModalitySettings,
)

B, C, T, L, D, E = 3, 5, 7, 4, 11, 13
SHAPES = {"video": (D,), "audio": (E,)}
KINDS = ["fbp", "concat", "late", "video", "audio"]
every_kind = pytest.mark.parametrize("kind", KINDS)


def settings(kind: Any = "fbp", attention: Any = "transformer", **video: Any) -> HeadSettings:
    return HeadSettings(
        video=ModalitySettings(attention=attention, hidden_dim=6, **video),
        audio=AudioSettings(attention=attention, hidden_dim=8, encoder="none"),
        fusion=FusionSettings(kind, out_dim=9, rank=2, dropout=0.0),
    )


def build(chosen: HeadSettings) -> Head:
    torch.manual_seed(1)
    return make_head(chosen, SHAPES, C).double()


def steps(dim: int, size: int, lengths: tuple[int, ...], fill: float = 0.0) -> Steps:
    features = torch.randn(B, size, dim, generator=torch.Generator().manual_seed(dim)).double()
    mask = torch.arange(size) < torch.tensor(lengths)[:, None]
    return Steps(features.masked_fill(~mask.unsqueeze(-1), fill), mask)


def batch(fill: float = 0.0) -> tuple[Steps, Steps]:
    return steps(D, T, (7, 3, 1), fill), steps(E, L, (2, 4, 1), fill)


def logits(head: Head, video: Steps, audio: Steps) -> Tensor:
    return head(video=video, audio=audio).logits


@every_kind
@pytest.mark.parametrize("attention", ["mean", "self", "relation", "transformer", "statistics"])
def test_every_fusion_goes_with_every_attention(kind: str, attention: str) -> None:
    output = build(settings(kind, attention))(*batch())
    assert output.logits.shape == (B, C)
    used = {"video": (B, T), "audio": (B, L)}
    if kind in used:
        used = {kind: used[kind]}
    assert {name: tuple(w.shape) for name, w in output.weights.items()} == used
    assert set(output.parts) == ({"video", "audio"} if kind == "late" else set())


@every_kind
@pytest.mark.parametrize("fill", [math.nan, 1e30])
def test_padding_content_reaches_neither_logits_nor_gradient(kind: str, fill: float) -> None:
    head = build(settings(kind, "relation", embedding_dim=3))

    def outcome(fill: float) -> list[Tensor]:
        head.zero_grad()
        result = logits(head, *batch(fill))
        result.square().sum().backward()
        return [result, *(p.grad.clone() for p in head.parameters())]

    for got, want in zip(outcome(fill), outcome(5.0), strict=True):
        assert torch.equal(got, want)


@every_kind
def test_a_batch_equals_its_clips_one_by_one_and_train_mode_equals_eval_mode(kind: str) -> None:
    head = build(settings(kind))
    video, audio = batch()
    together = logits(head.train(), video, audio)
    torch.testing.assert_close(logits(head.eval(), video, audio), together)
    for i, (n, m) in enumerate(zip(video.mask.sum(1), audio.mask.sum(1), strict=True)):
        alone = logits(
            head,
            Steps(video.features[i : i + 1, :n], video.mask[i : i + 1, :n]),
            Steps(audio.features[i : i + 1, :m], audio.mask[i : i + 1, :m]),
        )
        torch.testing.assert_close(alone[0], together[i])


@every_kind
def test_permuting_clips_permutes_logits(kind: str) -> None:
    head = build(settings(kind))
    video, audio = batch()
    order = torch.tensor([2, 0, 1])
    moved = logits(head, Steps(*(x[order] for x in video)), Steps(*(x[order] for x in audio)))
    torch.testing.assert_close(moved, logits(head, video, audio)[order])


def test_a_head_on_means_is_softmax_regression() -> None:
    head = build(settings("video", "mean"))
    video, audio = batch()
    weight = head.classifiers["video"].weight.detach().numpy()
    bias = head.classifiers["video"].bias.detach().numpy()
    for clip, n in enumerate((7, 3, 1)):
        mean = video.features[clip, :n].numpy().mean(axis=0)
        want = weight @ mean + bias
        np.testing.assert_allclose(logits(head, video, audio)[clip].detach().numpy(), want)


# ---- a clip that lacks a modality -------------------------------------------------------------


def missing_video() -> tuple[Steps, Steps]:
    return steps(D, T, (7, 0, 1), fill=math.nan), steps(E, L, (2, 4, 0), fill=math.nan)


@every_kind
@pytest.mark.parametrize("embedding_dim", [0, 3])
def test_a_clip_missing_a_modality_has_finite_logits_and_gradients(
    kind: str, embedding_dim: int
) -> None:
    head = build(settings(kind, "transformer", embedding_dim=embedding_dim))
    result = logits(head, *missing_video())
    result.square().sum().backward()
    assert result.isfinite().all()
    assert all(p.grad.isfinite().all() for p in head.parameters())
    assert all(p.grad.abs().max() < 1e3 for p in head.parameters())


def test_fbp_leaves_a_clip_missing_a_modality_at_the_bias() -> None:
    head = build(settings("fbp", embedding_dim=3))
    result = logits(head, *missing_video())
    bias = head.classifiers["fused"].bias
    assert torch.equal(result[1], bias)
    assert torch.equal(result[2], bias)
    assert not torch.equal(result[0], bias)


def test_concatenation_sees_zeros_for_a_missing_modality() -> None:
    head = build(settings("concat", embedding_dim=3))
    video, audio = missing_video()
    embedding, _ = head.branches["audio"](audio)
    zeros = torch.zeros(1, head.branches["video"].out_dim).double()
    want = head.classifiers["fused"](torch.cat([embedding[1:2], zeros], dim=1))
    torch.testing.assert_close(logits(head, video, audio)[1:2], want)


def test_late_fusion_means_the_probabilities_of_the_modalities_that_are_there() -> None:
    head = build(settings("late"))
    video, audio = missing_video()
    output = head(video, audio)
    p = {name: part.softmax(1) for name, part in output.parts.items()}
    result = output.logits.softmax(1)
    torch.testing.assert_close(result[0], (p["video"][0] + p["audio"][0]) / 2)
    torch.testing.assert_close(result[1], p["audio"][1])
    torch.testing.assert_close(result[2], p["video"][2])


def test_late_fusion_of_a_clip_with_nothing_means_both() -> None:
    a, b = torch.tensor([[0.0, math.log(3)]]), torch.zeros(1, 2)
    nothing = [torch.tensor([False])] * 2
    result = late_logits([a, b], nothing).softmax(1)
    torch.testing.assert_close(result, torch.tensor([[0.375, 0.625]]))  # (1/4 + 1/2) / 2


# ---- building ---------------------------------------------------------------------------------


def test_an_embedding_is_linear_relu_and_dropout_before_fusion() -> None:
    head = build(settings("video", "mean", embedding_dim=3, embedding_dropout=0.5))
    video, audio = batch()
    layer = head.branches["video"].embedding[0]
    mean = video.features.sum(1) / video.mask.sum(1, keepdim=True)
    want = head.classifiers["video"](layer(mean).relu())
    torch.testing.assert_close(logits(head.eval(), video, audio), want)
    torch.manual_seed(0)
    assert (logits(head.train(), video, audio) - want).abs().max() > 0.01


def test_every_setting_reaches_the_layer_that_it_is_about() -> None:
    chosen = HeadSettings(
        video=ModalitySettings(hidden_dim=6, scale=0.25, embedding_dim=3, embedding_dropout=0.125),
        audio=AudioSettings(encoder="none", hidden_dim=8, scale=0.75, pooled="unreduced"),
        fusion=FusionSettings(
            "fbp",
            out_dim=9,
            rank=3,
            dropout=0.375,
            signed_sqrt=True,
            factor_bias=True,
            classifier_dropout=0.625,
        ),
    )
    head = build(chosen)
    video, audio = head.branches["video"], head.branches["audio"]
    assert (video.pooling.scale, video.pooling.pooled) == (0.25, "reduced")
    assert (audio.pooling.scale, audio.pooling.pooled) == (0.75, "unreduced")
    assert video.pooling.reduce.weight.shape == (6, D)
    assert audio.pooling.reduce.weight.shape == (8, E)
    assert video.embedding[0].weight.shape == (3, 6)
    assert video.embedding[2].p == 0.125
    assert audio.embedding is None
    assert (head.fusion.out_dim, head.fusion.rank, head.fusion.dropout.p) == (9, 3, 0.375)
    assert head.fusion.signed_sqrt
    assert head.fusion.audio_factors.weight.shape == (27, E)
    assert head.fusion.video_factors.bias.shape == (27,)
    assert head.dropout.p == 0.625


def test_the_presets_form_has_no_layer_that_the_papers_do_not_have() -> None:
    names = set(build(HeadSettings(audio=AudioSettings(encoder="none"))).state_dict())
    pooling = {"pooling.reduce.weight", "pooling.reduce.bias", "pooling.score.weight"}
    assert names == {
        *(f"branches.{m}.{name}" for m in ("video", "audio") for name in pooling),
        *("fusion.audio_factors.weight", "fusion.video_factors.weight"),
        *("classifiers.fused.weight", "classifiers.fused.bias"),
    }


@pytest.mark.parametrize(("shape", "channels"), [((200,), 1), ((40, 3), 3)])
def test_an_alexnet_branch_takes_as_many_channels_as_the_features_have(
    shape: tuple[int, ...], channels: int
) -> None:
    head = make_head(HeadSettings(fusion=FusionSettings("audio")), {"audio": shape}, C)
    assert head.branches["audio"].encoder.in_channels == channels
    features = torch.zeros(2, 70, *shape)
    assert head(audio=Steps(features, torch.ones(2, 70, dtype=torch.bool))).logits.shape == (2, C)


@pytest.mark.parametrize(("shape", "channels"), [((17,), 1), ((19, 3), 3)])
def test_a_branch_with_the_small_network_takes_the_bins_and_channels_of_the_features(
    shape: tuple[int, ...], channels: int
) -> None:
    chosen = HeadSettings(
        audio=AudioSettings(encoder="cnn", attention="statistics"), fusion=FusionSettings("audio")
    )
    head = make_head(chosen, {"audio": shape}, C).eval()
    encoder = head.branches["audio"].encoder
    assert encoder.network.num_bins == shape[0]
    assert encoder.network.in_channels == channels
    mask = torch.arange(97) < torch.tensor([[97], [5], [0]])
    found = head(audio=Steps(torch.randn(3, 97, *shape), mask)).logits
    assert found.shape == (3, C)
    assert torch.isfinite(found).all()


def test_a_modality_without_features_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fusion\.kind=fbp needs audio features"):
        make_head(settings(), {"video": (D,)}, C)


# (F,) or (F, C), around the least F of each encoder: 8 and 11.
AUDIO_SHAPES = [(7,), (10,), (11,), (7, 3), (8, 2), (10, 3), (40, 3), (5, 3, 2), (13, 3, 2)]


@pytest.mark.parametrize("shape", AUDIO_SHAPES)
@pytest.mark.parametrize("encoder", ["none", "cnn", "alexnet"])
def test_steps_are_refused_exactly_where_no_head_can_take_them(
    encoder: str, shape: tuple[int, ...]
) -> None:
    audio = Steps(torch.zeros(2, 97, *shape), torch.ones(2, 97, dtype=torch.bool))

    def works(encoder: str) -> bool:
        chosen = replace(settings("audio"), audio=AudioSettings(encoder=encoder))
        try:
            make_head(chosen, {"audio": shape}, C)(audio=audio)
        except (ValueError, RuntimeError):
            return False
        return True

    vector, spectrogram = len(shape) == 1, len(shape) <= 2
    wanted = {
        "none": vector,
        "cnn": spectrogram and shape[0] >= 8,
        "alexnet": spectrogram and shape[0] >= 11,
    }
    assert works(encoder) is wanted[encoder]
    chosen = replace(settings("audio"), audio=AudioSettings(encoder=encoder))
    if wanted[encoder]:
        check_shapes(chosen, {"audio": shape})
        return
    with pytest.raises(ValueError, match=r"audio.*choose ") as refused:
        check_shapes(chosen, {"audio": shape})
    named = {kind for kind in wanted if f"audio.encoder={kind}" in str(refused.value)[20:]}
    assert named - {encoder} == {kind for kind, fits in wanted.items() if fits}
    assert "audio.features=statistics" in str(refused.value)


def test_video_steps_that_are_not_vectors_are_refused_without_an_encoder_to_name() -> None:
    wanted = r"video: steps of shape \(40, 3\) can't be pooled as they are; choose video\.features"
    with pytest.raises(ValueError, match=wanted) as refused:
        make_head(settings(), {"video": (40, 3), "audio": (E,)}, C)
    assert "encoder=" not in str(refused.value)


def test_a_head_that_is_no_network_is_sent_to_no_encoder() -> None:
    chosen = replace(settings("audio"), head=KindSettings(kind="svm"))
    with pytest.raises(ValueError, match=r"choose audio\.features=statistics") as refused:
        check_shapes(chosen, {"audio": (40, 3)})
    assert "encoder=" not in str(refused.value)


def test_a_head_without_its_modalitys_steps_says_so() -> None:
    with pytest.raises(ValueError, match="needs the steps of audio, got None"):
        build(settings())(video=batch()[0])
