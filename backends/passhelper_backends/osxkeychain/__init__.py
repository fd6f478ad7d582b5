"""The macOS Keychain, byte-compatible with Docker's own ``osxkeychain`` helper (0.9.3 and later)."""

from passhelper_backends.osxkeychain.helper import OsxKeychainHelper

__all__ = ["OsxKeychainHelper"]
