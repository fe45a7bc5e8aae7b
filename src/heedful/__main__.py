"""`python -m heedful`, and what torchrun starts."""

from heedful.cli import main

main()
