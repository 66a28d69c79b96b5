"""Exports: documents written into a folder or a bucket, part by part, with a manifest. A file appears whole or not at all."""
