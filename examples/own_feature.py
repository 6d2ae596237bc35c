"""Train on a feature of your own.

    python own_feature.py MANIFEST CACHE RUN

Loudness and brightness of the voice, computed from the cached sound, become a feature set like
any other. A set is never stale: other numbers get another key.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import cache
import pipeline
import trainer

manifest, folder, run = sys.argv[1:]
arrays = {}
for clip, sound in cache.open_cache(folder).features("logmel", array="logmel").items():
    levels = sound["logmel"][:, :, 0]  # (T, 40): natural logarithms of energies, low to high
    energy = np.exp(levels)
    loudness = np.log(energy.sum(axis=1))
    brightness = energy @ np.arange(40) / energy.sum(axis=1)
    arrays[clip] = np.stack([loudness, brightness], axis=1).astype(np.float32)  # (T, 2)
with tempfile.TemporaryDirectory() as temporary:
    file = Path(temporary) / "loudness.npz"
    np.savez(file, **arrays)
    report = pipeline.import_features(
        folder, "loudness", file, manifest=manifest, format="npz", settings={"rate": 100.0}
    )
print(f"{report.clips} clips with {len(report.names)} numbers a step")
settings = {"fusion.kind": "audio", "audio.set": "loudness", "audio.features": "statistics"}
settings |= {"audio.encoder": "none", "optim.epochs": 20}
found = trainer.train(manifest, cache=folder, run=run, settings=settings, overwrite=True)
accuracy = found.metrics["all"]["ensemble"]["accuracy"]
print(f"accuracy on loudness and brightness alone: {accuracy:.0%}")
