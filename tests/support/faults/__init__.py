"""Programs that fail, die or are watched, and bytes that mean harm."""
