"""Media: pictures and sound of a file, each with its times."""
