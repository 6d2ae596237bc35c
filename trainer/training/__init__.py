"""Training: losses, schedules, and heads trained one by one or as a stack."""
