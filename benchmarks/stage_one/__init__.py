"""Stage one: speed, memory and where the time goes."""
