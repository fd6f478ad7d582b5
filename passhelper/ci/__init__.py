"""A throw-away runner: from a secret key in the environment to a proved ``docker login``, and nothing left behind."""
