"""The pass layout in pure Python, with gpg and git as the only other programs."""
