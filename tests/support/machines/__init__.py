"""Machines, jobs on them, and the servers that they reach."""
