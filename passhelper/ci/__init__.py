"""A throw-away runner: from a secret key in the environment to a tested ``docker login``; nothing is left behind."""
