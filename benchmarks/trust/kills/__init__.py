"""Operations that are killed at random moments; ``benchmarks.trust.torture`` kills them."""
