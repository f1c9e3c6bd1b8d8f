"""`python -m weightscape VERB ...`, where the command itself is not on the path."""

from weightscape.cli.main import main

if __name__ == "__main__":
    main()
