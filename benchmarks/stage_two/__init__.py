"""Stage two: speed of packs and heads."""
