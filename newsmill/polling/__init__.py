"""When something is due: the next poll of a listing, the retry of a failed fetch, the revisit of an article."""
