"""Whether a source still works: what is wrong with it, since when, and what to do. Pure."""
