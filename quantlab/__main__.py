"""`python -m quantlab` is the `quantlab` command."""

from quantlab.cli import main

if __name__ == "__main__":
    main()
