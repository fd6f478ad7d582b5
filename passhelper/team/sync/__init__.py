"""Bring clones together: fetch, check, merge, apply, push."""
