"""Contact sheets: what stage one saw in each clip, as pictures to check by eye."""
