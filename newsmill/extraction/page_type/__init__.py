"""Pages that are not articles: errors, walls, lists and others, each with its outcome."""
