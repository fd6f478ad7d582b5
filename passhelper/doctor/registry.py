"""All checks, causes before what depends on them."""

from __future__ import annotations

from passhelper.doctor import docker_checks, entry_checks, git_checks, gpg_checks, key_checks, store_checks

CHECKS = (
    *gpg_checks.CHECKS,
    *store_checks.CHECKS,
    *key_checks.CHECKS,
    *entry_checks.CHECKS,
    *git_checks.CHECKS,
    *docker_checks.CHECKS,
)
