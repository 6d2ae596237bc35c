"""The contract on disk: manifests, feature sets, entries, packs. No network, no video."""
