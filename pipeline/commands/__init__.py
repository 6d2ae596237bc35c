"""Command-line faces of stage one; each module is options, one call, printing."""
