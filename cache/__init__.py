"""The contract on disk: manifests, feature sets, entries, packs. No network, no video.

For Python, ``open_cache`` reads features as arrays or tables, ``read_manifest`` the table of clips.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cache.doors import Cache, ClipFeatures, open_cache
    from cache.manifest.clip import Clip
    from cache.manifest.manifest import Manifest, read_manifest

__all__ = ["Cache", "Clip", "ClipFeatures", "Manifest", "open_cache", "read_manifest"]
_HOMES = {
    "Clip": "cache.manifest.clip",
    "Manifest": "cache.manifest.manifest",
    "read_manifest": "cache.manifest.manifest",
}

if not TYPE_CHECKING:  # to whom an unknown name is an error

    def __getattr__(name: str) -> object:
        """Import a name of ``__all__`` when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES.get(name, "cache.doors")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
