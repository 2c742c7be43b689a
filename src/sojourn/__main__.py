"""`python -m sojourn` is `sojourn`. Owns nothing else."""

from sojourn.cli.main import main

if __name__ == "__main__":
    main()
