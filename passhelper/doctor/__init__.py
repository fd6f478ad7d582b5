"""``passhelper doctor``: find the one cause among many symptoms, and say what to type.

Checks are small functions in a list (:mod:`.registry`); each names the checks that must have passed for
its own answer to mean anything, so that a missing gpg is one finding and not twenty.
"""
