"""The Windows Credential Manager, byte-compatible with Docker's own ``wincred`` helper."""

from passhelper_backends.wincred.helper import WincredHelper

__all__ = ["WincredHelper"]
