"""A clock that is behind, and a home of gpg that cannot be written: named as what they are, with what helps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from support import KeyRing, require
from support.worlds.vault import Vault

from passhelper.errors import GpgError, RecipientsError

FUTURE = "20650309T120000"  # this machine's clock is behind that of the machine that made the key


@pytest.fixture
def own(environ: dict[str, str], store: Path, own_keys: KeyRing) -> Vault:
    environ["GNUPGHOME"] = str(own_keys.home)
    return Vault(environ)


def test_a_key_that_was_made_in_the_future(own: Vault, own_keys: KeyRing) -> None:
    ahead = ("--faked-system-time", FUTURE, "--passphrase", "")
    own_keys.gpg(*ahead, "--quick-gen-key", "ahead <ahead@example.test>", "future-default", "default", "1y")
    listing = own_keys.gpg("--with-colons", "--list-keys", "ahead@example.test").stdout
    found = re.search(r"^fpr:::::::::(\w+):", listing.decode(), re.MULTILINE)
    assert found is not None
    (own.path / ".gpg-id").write_text(f"{found[1]}\n")
    with pytest.raises(RecipientsError) as caught:
        own.store()
    before, _, now = str(caught.value).partition(" UTC, while this machine's clock says ")
    assert before == (
        f"cannot encrypt for 1 of 1 recipients in .gpg-id: key {found[1]} ahead <ahead@example.test> "
        "was made on 2065-03-09 12:00"
    )
    moment, _, remedy = now.partition(" UTC, ")
    assert moment.startswith(time.strftime("%Y-", time.gmtime()))
    assert remedy == "set this machine's clock; if it is right, wait until then, or use another key"


def test_an_encryption_subkey_that_was_made_in_the_future(own: Vault, own_keys: KeyRing) -> None:
    signer = own_keys["signer"]
    own_keys.gpg("--faked-system-time", FUTURE, "--passphrase", "", "--quick-add-key", signer, "cv25519", "encr")
    (own.path / ".gpg-id").write_text(f"{signer}\n")
    with pytest.raises(RecipientsError, match=r"has an encryption subkey that was made on 2065-03-09 12:00 UTC, while"):
        own.store()


def test_a_home_that_cannot_be_written(own: Vault, own_keys: KeyRing, short_tmp: Path) -> None:
    """As a secret that is mounted into a container. Starting an agent by hand does not help there."""
    require("mount", "umount")
    own.store()
    home = str(own_keys.home)
    own_keys.stop_agent()
    if subprocess.run(["mount", "--bind", home, home], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    copy = tempfile.mkdtemp(prefix="c", dir=short_tmp)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
        with pytest.raises(GpgError) as caught:
            own.get()
        assert caught.value.cause == f"no gpg-agent can start in GNUPGHOME {home}, which cannot be written"
        begin = "copy it and set GNUPGHOME to the copy, a short path: "
        assert caught.value.remedy == f"{begin}cp -a {home} COPY"
        os.rmdir(copy)
        subprocess.run(caught.value.remedy.removeprefix(begin).replace("COPY", copy), shell=True, check=True)
        own.environ["GNUPGHOME"] = copy
        assert own.get() == ("bob", "s3cret")
    finally:
        subprocess.run(["gpgconf", "--homedir", copy, "--kill", "all"], check=False)
        subprocess.run(["umount", home], check=True)
        shutil.rmtree(copy, ignore_errors=True)
