"""The laws of :class:`passhelper.Helper`, stated once.

:mod:`passhelper.testing` runs them on a backend, :mod:`passhelper.conformance` on a program.
"""
