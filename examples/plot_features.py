"""Plot a clip's features from a cache.

    python plot_features.py CACHE CLIP OUT.png

The sound's spectrogram stands over the face's embedding; both have times in seconds.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import cache

folder, clip, out = sys.argv[1:]
opened = cache.open_cache(folder)
names = [name for name in opened.sets() if name in ("logmel", "spectrogram", "resnet29", "ir50")]
figure, axes = plt.subplots(len(names), sharex=True, squeeze=False, figsize=(8, 2.5 * len(names)))
for axis, name in zip(axes[:, 0], names, strict=True):
    found = opened.features(name, [clip])[clip]
    array = next(key for key in ("basic", "mean", name) if key in found.arrays)
    values = found[array]  # (T, D), or (T, F, 3) of log-mel: level, delta, delta of delta
    values = values[:, :, 0] if values.ndim == 3 else values
    edges = np.append(found.times, found.times[-1] + np.median(np.diff(found.times)))
    axis.pcolormesh(edges, np.arange(values.shape[1] + 1), values.T, rasterized=True)
    axis.set_ylabel(f"{name}/{array}")
axes[-1, 0].set_xlabel("seconds")
axes[0, 0].set_title(clip)
figure.tight_layout()
figure.savefig(out, dpi=120)
