"""The keys: this machine's own, and those that the store is encrypted to."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from passhelper.doctor.context import LIMIT, Context, NotCheckedError
from passhelper.doctor.model import Check, Finding, Severity
from passhelper.errors import RecipientsError, printable
from passhelper.machine import agentcache, tools
from passhelper.store import keyfaults, keyinfo, keynames, passphrase, secmem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.team.keyring.key import Key

_DAY = 86400


def recipient_keys(context: Context) -> list[Key]:
    """List the keys of this keyring that the store is encrypted to, each once."""
    lines = dict.fromkeys(line for source in context.sources for line in source.keys)
    return list({key.fingerprint: key for line in lines for key in _meant(context, line)}.values())


def _meant(context: Context, line: str) -> list[Key]:
    """Find the keys that a line may mean: those that can be encrypted to, if there are any."""
    found = context.ring.find(line)
    return [key for key in found if key.can_encrypt] or found


def _own(context: Context) -> Iterator[Finding]:
    own = context.ring.own()
    if not own:
        yield Finding(f"no secret key in {context.gpg_home}", "run: passhelper setup --generate-key, or gpg --import")
    elif not any(key.is_own for key in own):
        for key in own:
            told = keyinfo.find_keys(context.gpg, key.fingerprint)[0]
            # gpg may call a key good although the secret part that decrypts is missing.
            why = told.problem or "has its decrypting secret part elsewhere"
            yield Finding(
                f"key {key} {why}", keyfaults.advice(context.gpg, told) or "import that part: gpg --import KEYFILE"
            )


def _known(context: Context) -> Iterator[Finding]:
    for source in context.sources:
        for line in source.keys:
            found = [key.fingerprint for key in context.ring.find(line)]
            place = printable(source.label)
            unseen = keyinfo.overlooked(context.gpg, line, found)
            if not found:
                yield Finding(
                    f"recipient {printable(line)} in {place} is not in this keyring", "run: gpg --import KEYFILE"
                )
            elif unseen is not None:
                yield Finding(f"recipient {printable(line)} in {place}: {unseen[0]}", unseen[1])


def _usable(context: Context) -> Iterator[Finding]:
    for key in recipient_keys(context):
        if key.can_encrypt or key.has_expired:
            continue
        told = keyinfo.find_keys(context.gpg, key.fingerprint)[0]
        remedy = keyfaults.advice(context.gpg, told) or "remove it from the .gpg-id that names it"
        yield Finding(f"recipient key {key} {told.problem}", remedy)


def _shared(context: Context) -> Iterator[Finding]:
    """Look for keys that claim a subkey of a recipient as their own: anybody can make such a key."""
    holders: dict[str, list[Key]] = {}
    for key in context.ring.all():
        for part in key.subkeys:
            holders.setdefault(part, []).append(key)
    wanted = {key.fingerprint for key in recipient_keys(context)}
    wanted |= {keynames.digits(line) for source in context.sources for line in source.keys}
    several = {tuple(keys): part for part, keys in holders.items()
               if len(keys) > 1 and not wanted.isdisjoint([part, *(key.fingerprint for key in keys)])}  # fmt: skip
    for keys, part in several.items():
        names = " and ".join(map(str, keys))
        yield Finding(f"the keys {names} both hold {part}, so that gpg may take one for the other",
                      "find out which one owns it, then remove the other: gpg --delete-keys FINGERPRINT")  # fmt: skip


def _expiry(context: Context) -> Iterator[Finding]:
    now = time.time()
    for key in recipient_keys(context):
        if not key.ends:
            continue
        day = keyinfo.day(str(key.ends))
        subkey = " '*'" if key.ends != key.expires else ""
        remedy = keyfaults.by_owner(context.gpg, key.fingerprint, keyinfo.extend(key.fingerprint, subkey))
        what = f"the encryption subkey of {key}" if subkey else f"key {key}"
        if key.ends <= now:
            yield Finding(f"{what} expired on {day}", remedy, Severity.FAILED)
        elif key.ends - now < context.lead * _DAY:
            yield Finding(f"{what} expires on {day}, in {int((key.ends - now) // _DAY)} days", remedy)


def _trust(context: Context) -> Iterator[Finding]:
    """Encrypt an empty message exactly as ``store`` would: what gpg refuses there, it refuses here."""
    for source in context.sources:
        try:
            agentcache.encrypted(context.gpg, b"", source.keys, source.label, trusted=source.all_fingerprints)
        except RecipientsError as error:
            named = "" if source.all_fingerprints else "run: gpg --lsign-key, or name keys by their full fingerprints"
            yield Finding(error.cause, error.remedy or named)


def own_recipients(context: Context) -> list[Key]:
    """List the store's recipients that this machine can decrypt for."""
    return [key for key in recipient_keys(context) if key.is_own]


def _store(context: Context) -> Iterator[Finding]:
    if not own_recipients(context):
        own = next(key for key in context.ring.own() if key.is_own)
        yield Finding(
            f"no secret key for the store: none of its recipients' keys is this machine's, which has {own}",
            f"ask a member to run: passhelper recipients add {own.fingerprint}",
        )


def _locked(context: Context) -> Iterator[Finding]:
    usable = [key for key in own_recipients(context) if key.can_encrypt]
    if not usable:
        raise NotCheckedError("no own key can be encrypted to, so there is no test message")
    source = passphrase.source(context.environ)
    for key in usable:
        if agentcache.is_unlocked(context.gpg, key):
            continue
        if source and source != "PASSHELPER_PASSPHRASE_FD" and not key.is_on_card:
            agentcache.unlock(context.gpg, key, None)  # with what is configured; says so if that is wrong
            continue
        severity = Severity.WARNING if context.can_prompt else Severity.FAILED
        yield Finding(f"GPG key {key} is locked", "run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE", severity)


def _memory(context: Context) -> Iterator[Finding]:
    if not any(key.is_rsa for key in own_recipients(context)):
        return  # with other keys the agent's memory is enough for more than anybody runs at once
    for folder in (tools.gpg_directory("sysconfdir", context.environ, LIMIT), context.gpg_home):
        if folder and _expands(os.path.join(folder, secmem.CONF)):
            return
    what = "gpg-agent has secure memory for some thirty decryptions with an RSA key at a time"
    yield Finding(f"{what}; for more, {secmem.more_memory(context.gpg)}", severity=Severity.NOTE)


def _expands(conf: str) -> bool:
    try:
        with open(conf, encoding="utf-8", errors="replace") as file:
            return any(line.split()[:1] == [secmem.OPTION] for line in file)
    except OSError:
        return False


CHECKS = (
    Check("key.own", "a secret key that decrypts on this machine", Severity.FAILED, _own, ("gpg.agent",)),
    Check("key.known", "the keyring holds every recipient", Severity.FAILED, _known,
          ("gpg.agent", "store.recipients")),
    Check("key.usable", "every recipient can be encrypted to: not sign-only, revoked or disabled", Severity.FAILED,
          _usable, ("gpg.agent", "store.recipients")),
    Check("key.shared", "no other key claims a subkey of a recipient as its own", Severity.WARNING, _shared,
          ("gpg.agent", "store.recipients")),
    Check("key.expiry", "no recipient's key or encryption subkey has expired, or will within `--lead` days",
          Severity.EXPIRING, _expiry, ("gpg.agent", "store.recipients")),
    Check("key.trust", "gpg trusts the recipients that are named by e-mail address or short id", Severity.FAILED,
          _trust, ("key.known", "key.usable", "key.expiry")),
    Check("key.store", "one of the store's keys is this machine's", Severity.FAILED, _store,
          ("key.own", "store.recipients")),
    Check("key.locked", "the key decrypts without a prompt", Severity.FAILED, _locked, ("key.store",)),
    Check("key.memory", "gpg-agent has memory for many decryptions at once; only a hint, for RSA keys",
          Severity.WARNING, _memory, ("key.store",)),
)  # fmt: skip
