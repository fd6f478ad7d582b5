"""Entries and those who can read them: drift, re-encryption, rotation, history."""
