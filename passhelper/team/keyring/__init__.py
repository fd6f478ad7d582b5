"""Questions about keys, through python-gnupg; and whose a key is."""
