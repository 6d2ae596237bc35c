"""Arrays in, features out: face networks, views, spectrograms. Knows no files and no video."""
