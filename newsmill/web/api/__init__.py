"""The HTTP API under /api/v1, one module per resource. docs/reference/http-api.md has examples, which a test runs."""
