"""What a machine needs to be set up: keys, launcher, Docker configuration, and the proof that it works."""
