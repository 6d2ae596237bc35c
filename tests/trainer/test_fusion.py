"""Fusion against the explicit bilinear form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.fusion import Concatenation, FactorizedBilinearPooling

B, A, V, OUT, K = 3, 5, 7, 11, 2


def build(**options: bool) -> FactorizedBilinearPooling:
    torch.manual_seed(5)
    return FactorizedBilinearPooling(A, V, OUT, K, dropout=0.0, **options).double()


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    audio = torch.randn(B, A, generator=generator).double()
    return audio, torch.randn(B, V, generator=generator).double()


def forms(module: FactorizedBilinearPooling, audio: Tensor, video: Tensor) -> np.ndarray:
    """z_o = audio^T W_o video (eq. 10) with W_o = U_o V_o^T (eq. 11), loops at float64."""
    u = module.audio_factors.weight.detach().numpy()
    v = module.video_factors.weight.detach().numpy()
    z = np.zeros((len(audio), OUT))
    for o in range(OUT):
        group = range(o * K, (o + 1) * K)  # units o*rank .. o*rank + rank - 1
        w_o = sum(np.outer(u[d], v[d]) for d in group)
        for clip in range(len(audio)):
            z[clip, o] = audio[clip].numpy() @ w_o @ video[clip].numpy()
    return z


def unit(z: np.ndarray) -> np.ndarray:
    return z / np.sqrt((z**2).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("mode", [True, False])
def test_fbp_equals_the_explicit_bilinear_form_and_has_norm_one(mode: bool) -> None:
    module = build().train(mode)
    fused = module(*pair()).detach().numpy()
    assert module.out_dim == OUT
    np.testing.assert_allclose(fused, unit(forms(module, *pair())), rtol=1e-10)
    np.testing.assert_allclose((fused**2).sum(axis=1), np.ones(B))


def test_fbp_of_two_values_is_what_paper_and_pencil_say() -> None:
    module = FactorizedBilinearPooling(2, 2, 2, 2, dropout=0.0)
    module.audio_factors.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0]])
    module.video_factors.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0], [0, 1.0]])
    # audio factors of (1, 2): 1, 2, 3, 2; video factors of (1, 0): 1, 0, 1, 0
    # products 1, 0, 3, 0; sums 1, 3; norm sqrt 10
    fused = module(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(fused, torch.tensor([[1.0, 3.0]]) / 10**0.5)


def test_the_factors_have_no_bias_unless_asked() -> None:
    assert set(build().state_dict()) == {"audio_factors.weight", "video_factors.weight"}


def test_dropout_drops_single_products_before_the_sum_and_only_in_training() -> None:
    module = FactorizedBilinearPooling(1, 1, OUT, 100, dropout=0.5)
    module.audio_factors.weight.data.fill_(1.0)
    module.video_factors.weight.data.fill_(1.0)
    one = torch.ones(1, 1)
    torch.manual_seed(0)
    assert len(set(module(one, one)[0].tolist())) > OUT // 2  # sums of ~50 of 100, all different
    torch.testing.assert_close(module.eval()(one, one), torch.full((1, OUT), OUT**-0.5))


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("missing", ["audio", "video", "both"])
@pytest.mark.parametrize("signed_sqrt", [False, True])
def test_a_zero_embedding_fuses_to_zero_with_small_gradients(
    missing: str, signed_sqrt: bool
) -> None:
    module = build(signed_sqrt=signed_sqrt)
    audio, video = pair()
    audio = torch.zeros_like(audio) if missing in ("audio", "both") else audio
    video = torch.zeros_like(video) if missing in ("video", "both") else video
    audio.requires_grad_()
    video.requires_grad_()
    with torch.autograd.detect_anomaly(check_nan=True):
        fused = module(audio, video)
        fused.sum().backward()
    assert torch.equal(fused, torch.zeros(B, OUT).double())
    for gradient in (audio.grad, video.grad, *(p.grad for p in module.parameters())):
        assert gradient.abs().max() < (1e6 if signed_sqrt else 1e2)  # not 1e12


def test_a_signed_square_root_keeps_the_sign_and_takes_the_root() -> None:
    plain = forms(build(), *pair())
    fused = build(signed_sqrt=True)(*pair()).detach().numpy()
    np.testing.assert_allclose(fused, unit(np.sign(plain) * np.sqrt(np.abs(plain))), atol=1e-5)


def test_factor_biases_start_at_one_and_let_one_modality_pass() -> None:
    module = build(factor_bias=True)
    assert (module.audio_factors.bias == 1).all()
    assert (module.video_factors.bias == 1).all()
    audio, video = pair()
    fused = module(audio, torch.zeros_like(video)).detach().numpy()
    sums = module.audio_factors(audio).detach().numpy().reshape(B, OUT, K).sum(axis=2)
    np.testing.assert_allclose(fused, unit(sums))


@pytest.mark.parametrize("name", ["audio_dim", "video_dim", "out_dim", "rank"])
def test_a_size_below_one_is_refused(name: str) -> None:
    sizes = {"audio_dim": A, "video_dim": V, "out_dim": OUT, "rank": K, name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        FactorizedBilinearPooling(**sizes)


def test_concatenation_writes_audio_before_video() -> None:
    module = Concatenation(2, 3)
    fused = module(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0, 5.0]]))
    assert fused.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0]]
    assert module.out_dim == 5
