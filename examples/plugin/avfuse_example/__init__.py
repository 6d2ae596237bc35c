"""One plug-in of each kind for avfuse; every module stands for itself."""
