"""Places other than the pass store that can keep Docker's credentials."""
