"""Questions about keys, through python-gnupg, and about their owners."""
