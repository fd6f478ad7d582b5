"""What a team needs around the store; never imported by the verb path."""
