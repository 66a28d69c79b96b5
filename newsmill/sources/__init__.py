"""Sources as users write them: the tables of sources.toml, changes of this file, and lists of other programs."""
