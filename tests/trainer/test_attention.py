"""The poolings against their equations, written as loops, and against typed-in numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainer.attention import (
    MeanPooling,
    RelationAttention,
    SelfAttention,
    TransformerAttention,
    make_pooling,
    masked_softmax,
)

B, T, D, H = 3, 5, 7, 11
LENGTHS = (5, 2, 0)
LN3 = math.log(3.0)

EVERY: dict[str, Callable[[], nn.Module]] = {
    "mean": lambda: MeanPooling(D),
    "self": lambda: SelfAttention(D),
    "relation": lambda: RelationAttention(D),
    "transformer": lambda: TransformerAttention(D, H),
    "transformer-unreduced": lambda: TransformerAttention(D, H, 0.5, pooled="unreduced"),
    "transformer-lambda-0": lambda: TransformerAttention(D, H, 0.0),
}
every = pytest.mark.parametrize("name", EVERY)


def build(name: str) -> nn.Module:
    torch.manual_seed(13)
    return EVERY[name]().double()


def batch() -> tuple[Tensor, Tensor]:
    features = torch.randn(B, T, D, generator=torch.Generator().manual_seed(17)).double()
    return features, torch.arange(T) < torch.tensor(LENGTHS)[:, None]


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def array(parameter: Tensor) -> np.ndarray:
    return parameter.detach().numpy()


# ---- the equations, one clip, loops in NumPy at float64 -------------------------------------


def equation(name: str, module: nn.Module, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(f)
    if name == "mean":
        return sum(f) / n, np.full(n, 1 / n)
    if name in ("self", "relation"):
        w0 = array(module.alpha.weight)[0]
        alpha = [sigmoid(float(f[i] @ w0)) for i in range(n)]  # eq. 1
        f_s = sum(alpha[i] * f[i] for i in range(n)) / sum(alpha)  # eq. 2
        if name == "self":
            return f_s, np.array(alpha) / sum(alpha)
        w1 = array(module.beta.weight)[0]
        pair = [np.concatenate([f[i], f_s]) for i in range(n)]
        beta = [sigmoid(float(pair[i] @ w1)) for i in range(n)]  # eq. 3
        total = sum(alpha[i] * beta[i] for i in range(n))
        f_r = sum(alpha[i] * beta[i] * pair[i] for i in range(n)) / total  # eq. 4
        return f_r, np.array([alpha[i] * beta[i] / total for i in range(n)])
    w, b = array(module.reduce.weight), array(module.reduce.bias)
    u = array(module.score.weight)[0]
    reduced = [w @ f[i] + b for i in range(n)]  # icmi19 eq. 5, deep-fusion eq. 6
    y = [math.exp(module.scale * float(u @ np.tanh(reduced[i]))) for i in range(n)]  # eq. 6, 8
    summed = reduced if module.pooled == "reduced" else f
    pooled = sum(y[i] * summed[i] for i in range(n)) / sum(y)  # eq. 9 and eq. 7 / 4
    return pooled, np.array(y) / sum(y)


@every
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_pooling_equals_the_papers_equation_in_training_and_in_evaluation(
    name: str, mode: str
) -> None:
    module = build(name)
    module.train(mode == "train")
    features, mask = batch()
    pooled, weights = module(features, mask)
    assert pooled.shape == (B, module.out_dim)
    assert weights.shape == (B, T)
    for clip, n in enumerate(LENGTHS):
        if n == 0:
            continue
        want, want_weights = equation(name.split("-")[0], module, features[clip, :n].numpy())
        np.testing.assert_allclose(array(pooled[clip]), want, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(array(weights[clip, :n]), want_weights, rtol=1e-12)


# ---- two steps of two values, worked out by hand --------------------------------------------

UNIT = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
BOTH = torch.ones(1, 2, dtype=torch.bool)


def close(result: Tensor, want: list[float]) -> None:
    torch.testing.assert_close(result, torch.tensor([want]))


def test_self_attention_of_two_steps_is_what_paper_and_pencil_say() -> None:
    module = SelfAttention(2)
    module.alpha.weight.data = torch.tensor([[LN3, 0.0]])  # alpha = 3/4, 1/2
    pooled, weights = module(UNIT, BOTH)
    close(weights, [0.6, 0.4])
    close(pooled, [0.6, 0.4])


@pytest.mark.parametrize("mode", [True, False])
def test_relation_attention_of_two_steps_is_what_paper_and_pencil_say(mode: bool) -> None:
    module = RelationAttention(2).train(mode)
    module.alpha.weight.data = torch.tensor([[LN3, 0.0]])  # alpha = 3/4, 1/2; f_s = (0.6, 0.4)
    module.beta.weight.data = torch.tensor([[0.0, LN3, 2.0, -3.0]])  # beta = 1/2, 3/4
    pooled, weights = module(UNIT, BOTH)
    close(weights, [0.5, 0.5])  # alpha beta = 3/8, 3/8
    close(pooled, [0.5, 0.5, 0.6, 0.4])


@pytest.mark.parametrize(
    ("scale", "pooled", "want_weights", "want"),
    [
        (1.0, "reduced", [0.75, 0.25], [0.375 * LN3, 0.125 * LN3]),
        (1.0, "unreduced", [0.75, 0.25], [0.75, 0.25]),
        (0.0, "unreduced", [0.5, 0.5], [0.5, 0.5]),
        (0.5, "unreduced", [0.6339746, 0.3660254], [0.6339746, 0.3660254]),  # sqrt 3 : 1
    ],
)
def test_transformer_attention_of_two_steps_is_what_paper_and_pencil_say(
    scale: float, pooled: str, want_weights: list[float], want: list[float]
) -> None:
    module = TransformerAttention(2, 2, scale, pooled=pooled)
    module.reduce.weight.data = torch.eye(2) * LN3 / 2  # tanh(ln(3) / 2) = 1/2
    module.reduce.bias.data.zero_()
    module.score.weight.data = torch.tensor([[2 * LN3, 0.0]])  # e = ln 3, 0
    result, weights = module(UNIT, BOTH)
    close(weights, want_weights)
    close(result, want)


# ---- what holds for every pooling -----------------------------------------------------------


@every
def test_weights_sum_to_one_over_real_steps_and_are_exactly_zero_elsewhere(name: str) -> None:
    features, mask = batch()
    _, weights = build(name)(features, mask)
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 1.0, 0.0]).double())
    assert (weights[~mask] == 0).all()


@every
@pytest.mark.parametrize("content", [0.0, 1e30, math.inf, math.nan])
def test_padding_content_reaches_neither_output_nor_gradient(name: str, content: float) -> None:
    module = build(name)
    features, mask = batch()

    def outcome(padding: float) -> list[Tensor]:
        module.zero_grad()
        filled = features.masked_fill(~mask.unsqueeze(-1), padding).requires_grad_()
        pooled, weights = module(filled, mask)
        (pooled.square().sum() + weights.square().sum()).backward()
        assert filled.grad is not None
        assert (filled.grad[~mask] == 0).all()
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        return [pooled, weights, filled.grad, *gradients]

    for got, want in zip(outcome(content), outcome(-2.0), strict=True):
        assert torch.equal(got, want)


@every
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_a_clip_with_no_real_step_is_zero_and_has_finite_gradients(name: str) -> None:
    module = build(name)
    features, _ = batch()
    features.requires_grad_()
    with torch.autograd.detect_anomaly(check_nan=True):
        pooled, weights = module(features, torch.zeros(B, T, dtype=torch.bool))
        (pooled.sum() + weights.sum()).backward()
    assert (pooled == 0).all()
    assert (weights == 0).all()
    assert (features.grad == 0).all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@every
def test_a_batch_of_no_steps_at_all_is_zero(name: str) -> None:
    module = build(name)
    empty = torch.zeros(B, 0, D).double()
    pooled, weights = module(empty, torch.zeros(B, 0, dtype=torch.bool))
    assert torch.equal(pooled, torch.zeros(B, module.out_dim).double())
    assert weights.shape == (B, 0)


@every
def test_a_batch_equals_its_clips_one_by_one_in_output_and_gradient(name: str) -> None:
    module = build(name)
    features, mask = batch()
    features.requires_grad_()
    pooled, _ = module(features, mask)
    pooled.square().sum().backward()
    learnt = [features, *module.parameters()]
    together = [tensor.grad.clone() for tensor in learnt]
    features.grad = None
    module.zero_grad()
    for clip, n in enumerate(LENGTHS):
        alone, _ = module(features[clip : clip + 1, :n], mask[clip : clip + 1, :n])
        torch.testing.assert_close(alone[0], pooled[clip])
        alone.square().sum().backward()
    for tensor, want in zip(learnt, together, strict=True):
        torch.testing.assert_close(tensor.grad, want)


@every
def test_permuting_clips_permutes_results_and_permuting_steps_permutes_weights(name: str) -> None:
    module = build(name)
    features, mask = batch()
    pooled, weights = module(features, mask)
    clips, steps = torch.tensor([2, 0, 1]), torch.tensor([3, 0, 4, 2, 1])
    moved, moved_weights = module(features[clips][:, steps], mask[clips][:, steps])
    torch.testing.assert_close(moved, pooled[clips])
    torch.testing.assert_close(moved_weights, weights[clips][:, steps])


def test_lambda_zero_pools_the_mean_of_the_reduced_embeddings() -> None:
    module = build("transformer-lambda-0")
    features, mask = batch()
    pooled, weights = module(features, mask)
    reduced, mean_weights = MeanPooling(H)(module.reduce(features), mask)
    torch.testing.assert_close(pooled, reduced)
    torch.testing.assert_close(weights, mean_weights)


@pytest.mark.parametrize("size", [1e3, 1e6])
@pytest.mark.parametrize("name", ["self", "relation", "transformer"])
def test_scores_far_outside_the_range_of_exp_stay_finite(name: str, size: float) -> None:
    module = build(name).float()
    features, mask = batch()
    for parameter in module.parameters():
        parameter.data *= size  # sigmoid of these is 0 in float32 for whole clips: 0 / 0
    pooled, weights = module(features.float(), mask)
    pooled.square().sum().backward()
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 1.0, 0.0]))
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_masked_softmax_ignores_the_size_of_padded_scores() -> None:
    scores = torch.tensor([[0.0, LN3, 1e30]])
    weights = masked_softmax(scores, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.75, 0.0]]))


# ---- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [-0.1, 1.1, math.nan])
def test_lambda_outside_zero_to_one_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=rf"lambda.*\[0, 1\], got {scale}"):
        TransformerAttention(D, H, scale)


def test_an_unknown_pooled_is_refused() -> None:
    with pytest.raises(ValueError, match="'reduced' or 'unreduced', got 'both'"):
        TransformerAttention(D, H, pooled="both")  # type: ignore[arg-type]  # a wrong value is what is tested


@pytest.mark.parametrize("kind", ["mean", "self", "relation", "transformer", "statistics"])
def test_a_size_below_one_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        make_pooling(kind, 0, hidden_dim=H)


def test_a_hidden_dim_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden_dim must be at least 1, got -1"):
        TransformerAttention(D, -1)


def test_an_unknown_attention_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(ValueError, match="'slef'; known: mean, self, relation, statistics"):
        make_pooling("slef", D, hidden_dim=H)


@pytest.mark.parametrize("kind", ["mean", "self", "relation", "transformer"])
def test_every_attention_can_be_made_by_name(kind: str) -> None:
    module = make_pooling(kind, D, hidden_dim=H, scale=0.5, pooled="unreduced")
    pooled, _ = module(torch.ones(B, T, D), torch.ones(B, T, dtype=torch.bool))
    assert pooled.shape == (B, module.out_dim)
    assert module.out_dim == (2 * D if kind == "relation" else D)


@every
def test_features_of_another_width_are_refused(name: str) -> None:
    _, mask = batch()
    with pytest.raises(ValueError, match=rf"\(B, T, {D}\), got \(3, 5, 8\)"):
        build(name)(torch.zeros(B, T, D + 1).double(), mask)


@pytest.mark.parametrize(
    ("mask", "got"),
    [
        (torch.ones(B, T + 1, dtype=torch.bool), r"got \(3, 6\)"),
        (torch.ones(B, T), "got .* torch.float32"),
    ],
)
@every
def test_a_mask_of_another_shape_or_dtype_is_refused(name: str, mask: Tensor, got: str) -> None:
    with pytest.raises(ValueError, match=got):
        build(name)(batch()[0], mask)
