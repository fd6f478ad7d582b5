"""What Docker, podman and the like use: configuration files, routes, credentials in plain text, registries."""
