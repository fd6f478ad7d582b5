"""The files that a user names, the launchers on PATH, and the passphrases that gpg-agent holds."""
