"""A corpus read from Python, from a store or from the HTTP API of a server: what `newsmill.open` returns."""
