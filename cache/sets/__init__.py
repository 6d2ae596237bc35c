"""Feature sets: folders of entries made with one key."""
