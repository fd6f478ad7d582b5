"""Programs that call the helper."""
