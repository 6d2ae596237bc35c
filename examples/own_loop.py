"""Train a model of your own on cached features.

    python own_loop.py MANIFEST CACHE

A linear layer on the mean over the real steps; trained on the split train, tested on val.
"""

import sys

import torch
from torch.utils.data import DataLoader

import trainer

manifest, folder = sys.argv[1:]
parts = {
    split: trainer.Dataset(manifest, cache=folder, sets={"video": "resnet29"}, split=split)
    for split in ("train", "val")
}
torch.manual_seed(0)
model = torch.nn.Linear(parts["train"].shapes["video"][0], len(parts["train"].classes))
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)


def logits_of(batch: trainer.Batch) -> torch.Tensor:
    """Classify the mean over the real steps: (B, C); padding is 0 and doesn't count."""
    features, mask = batch.features["video"]  # (B, T, D) float32, (B, T) bool
    return model(features.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1))


for _ in range(20):
    for batch in DataLoader(parts["train"], 16, shuffle=True, collate_fn=trainer.collate):
        loss = torch.nn.functional.cross_entropy(logits_of(batch), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
with torch.inference_mode():
    for batch in DataLoader(parts["val"], 16, collate_fn=trainer.collate):
        right = logits_of(batch).argmax(dim=1) == batch.labels
        print(dict(zip(batch.clips, right.tolist(), strict=True)))
