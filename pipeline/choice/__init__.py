"""Choice of the face that a network sees: by policy, by person, by hand."""
