"""Builds newspaper/site/ from newspaper/expected.toml and newspaper/expected/*.txt: `cd tests && python -m newspaper_site`.

The data is the reference; the templates add the markup, as a publisher's system does. Serving the site runs nothing of this.
"""
