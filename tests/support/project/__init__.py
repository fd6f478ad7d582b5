"""What the project itself says: its commands, recipes and tables."""
