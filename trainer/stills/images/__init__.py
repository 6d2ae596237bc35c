"""Still images: the layouts in which corpora come, read into arrays."""
