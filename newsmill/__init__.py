"""Newsmill: news sites go in, a clean, deduplicated, explainable corpus comes out.

Importing this package stays light: nothing of Scrapy, Redis, SQL or lxml is loaded until a part that needs it is.
"""

__version__ = "0.1.0"
