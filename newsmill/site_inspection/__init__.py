"""The inspection of a site before it is followed: what it offers, three of its articles, and the plan that follows from it."""
