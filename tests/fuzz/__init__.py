"""Fuzzing of everything that reads bytes from outside: `cd tests && python -m fuzz TARGET --seconds 60`. See docs/developer.md."""
