"""Workers: processes that may die, and networks that they share."""
