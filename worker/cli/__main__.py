"""`python -m worker.cli`: the same as the `cxr-triage` script."""

from worker.cli.main import main

main()
