"""The schema's history. A revision is never edited after release; a new one is additive, so that the program before it still runs."""
