"""The schema's migrations. A released revision is never edited. A new one is additive, so that the program before it still runs."""
