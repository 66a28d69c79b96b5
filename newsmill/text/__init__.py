"""Characters, URLs and words: what every other package may use. Pure."""
