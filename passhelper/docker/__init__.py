"""What Docker and its kin read and ask for: configuration files, routes, credentials in plain text, registries."""
