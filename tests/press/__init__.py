"""Prints the newspaper: `cd tests && python -m press` makes newspaper/site/ from newspaper/expected.toml and newspaper/expected/*.txt.

The data is the truth and comes first; the markup is put around it, as a publisher's system does. Nothing here runs when the site is served.
"""
