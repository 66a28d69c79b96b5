"""Exports: documents written into a folder or an object store, part by part, each file whole or not there, and a manifest."""
