"""``python -m passhelper``: the same as the ``passhelper`` program."""

from passhelper.cli import main

if __name__ == "__main__":
    main()
