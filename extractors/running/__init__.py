"""Face networks at work: settings, batch sizes, device, and what makes them fast."""
