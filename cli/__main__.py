"""`python -m serm.cli`: where the command is not on the path."""

from serm.cli.main import main

if __name__ == "__main__":
    main()
