"""Command-line faces of stage two; each module is options, one call, printing."""
