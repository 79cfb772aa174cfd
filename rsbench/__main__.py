"""`python -m rsbench`."""

from rsbench.cli.main import main

main()
