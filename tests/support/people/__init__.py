"""Members of a team, and those who are not friends."""
