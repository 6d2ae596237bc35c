"""Load a head that ``avfuse export RUN --to torch`` wrote; needs torch and safetensors alone.

    predict, classes = load_head("heads", "seed-0")
    predict(video=(features, mask), audio=(features, mask))  # (B, C) probabilities

``features``: (B, T, D) float32 as they stand in avfuse's cache, a step with more axes flattened;
``mask``: (B, T) bool, True where a step is real. ``config.json`` names modalities, sets and D.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor


def load_head(folder: str | Path, name: str) -> tuple[Callable[..., Tensor], list[str]]:
    """Return the function from features to probabilities, and the classes in their order."""
    config: dict[str, Any] = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    w = load_file(Path(folder) / f"{name}.safetensors")

    def predict(**given: tuple[Tensor, Tensor]) -> Tensor:
        found = {m: embed(w, m, how, *given[m]) for m, how in config["inputs"].items()}
        has = torch.stack([given[m][1].any(dim=1) for m in found], dim=1)  # (B, modalities)
        if config["fusion"] in ("fbp", "concat"):
            found, has = {"fused": fuse(w, config, found["audio"], found["video"])}, has[:, :1]
        has = has | ~has.any(dim=1, keepdim=True)
        chances = torch.zeros(len(has), len(config["classes"]), dtype=torch.float64)
        for number, (part, embedding) in enumerate(found.items()):
            logits = F.linear(
                embedding, w[f"classifiers.{part}.weight"], w[f"classifiers.{part}.bias"]
            )
            chances += logits.double().softmax(dim=1) * has[:, number, None] * w["prior"]
        chances = (chances / chances.amax(dim=1, keepdim=True)) ** (1 / w["temperature"])
        return chances / chances.sum(dim=1, keepdim=True)

    return predict, config["classes"]


def embed(
    w: dict[str, Tensor], modality: str, how: dict[str, Any], x: Tensor, mask: Tensor
) -> Tensor:
    """Normalise the steps (B, T, D) of a modality, pool them and embed the result."""
    w = {key.removeprefix(f"branches.{modality}."): value for key, value in w.items()}
    if how["features"] == "statistics":
        x, mask = summarise(x, mask), mask.any(dim=1, keepdim=True)
    if f"normalisation.{modality}.mean" in w:
        x = (x - w[f"normalisation.{modality}.mean"]) / w[f"normalisation.{modality}.deviation"]
    x, scores = x.masked_fill(~mask[..., None], 0.0), torch.zeros(mask.shape)
    if how["attention"] in ("self", "relation"):
        scores = F.logsigmoid(x @ w["pooling.alpha.weight"][0])
    elif how["attention"] == "transformer":
        reduced = F.linear(x, w["pooling.reduce.weight"], w["pooling.reduce.bias"])
        scores = how["scale"] * (torch.tanh(reduced) @ w["pooling.score.weight"][0])
        x = reduced if how["pooled"] == "reduced" else x
    pooled = pool(x, scores, mask)
    if how["attention"] == "relation":
        beta = torch.cat([x, pooled[:, None].expand_as(x)], dim=2) @ w["pooling.beta.weight"][0]
        pooled = torch.cat([pool(x, scores + F.logsigmoid(beta), mask), pooled], dim=1)
    if "embedding.0.weight" in w:
        pooled = F.relu(F.linear(pooled, w["embedding.0.weight"], w["embedding.0.bias"]))
    return pooled * mask.any(dim=1, keepdim=True)


def pool(x: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the real steps, weighed by the softmax of their scores."""
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=1)
    return (weights[..., None] * x).sum(dim=1)


def fuse(w: dict[str, Tensor], config: dict[str, Any], audio: Tensor, video: Tensor) -> Tensor:
    """Join two embeddings: one behind the other, or by factorized bilinear pooling."""
    if config["fusion"] == "concat":
        return torch.cat([audio, video], dim=1)
    a = F.linear(audio, w["fusion.audio_factors.weight"], w.get("fusion.audio_factors.bias"))
    v = F.linear(video, w["fusion.video_factors.weight"], w.get("fusion.video_factors.bias"))
    z = (a * v).reshape(len(a), w["classifiers.fused.weight"].shape[1], -1).sum(dim=2)
    return F.normalize(z / (z.abs() + 1e-8).sqrt() if config["signed_sqrt"] else z)


def summarise(x: Tensor, mask: Tensor) -> Tensor:
    """Return mean, deviation and percentiles of each clip's real steps, as one step."""
    shares = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
    found = torch.zeros(len(x), 1, 7 * x.shape[2])
    for number, (clip, real) in enumerate(zip(x.double(), mask, strict=True)):
        if real.any():
            own = clip[real]
            parts = [own.mean(dim=0), own.std(dim=0, correction=0), *own.quantile(shares, dim=0)]
            found[number, 0] = torch.cat(parts)
    return found
