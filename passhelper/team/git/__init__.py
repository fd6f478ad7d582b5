"""git for the commands: objects, trees, commits, history, remotes."""
