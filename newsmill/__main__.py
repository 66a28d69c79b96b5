"""`python -m newsmill` runs the `newsmill` command."""

from newsmill.cli.main import main

main()
