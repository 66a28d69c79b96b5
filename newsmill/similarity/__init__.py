"""How alike two texts are: near-duplicates, copies and the differences of two revisions. Pure."""
