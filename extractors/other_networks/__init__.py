"""Face networks beside those of the papers, whose weights exist in the world."""
