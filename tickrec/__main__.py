"""`python -m tickrec`."""

from tickrec.cli import main

main()
