"""Small inputs that went wrong, each with the right value: one file a situation."""
