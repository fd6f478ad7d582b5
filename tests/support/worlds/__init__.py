"""Keys, stores and disks."""
