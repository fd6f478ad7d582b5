"""From nothing to a working ``docker login``: the steps, the store, the test at the end."""
