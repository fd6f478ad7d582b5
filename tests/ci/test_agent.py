"""What no real agent does on request: outlive a KILL, and refuse its settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from passhelper.ci import agent
from passhelper.errors import GpgError

if TYPE_CHECKING:
    from pathlib import Path

    from support import KeyRing


def test_an_agent_that_does_not_end(own_keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one in an uninterruptible wait: signals do nothing."""
    own_keys.gpg("--list-secret-keys")
    process = agent.pid(str(own_keys.home), own_keys.environ)
    assert process
    kill = os.kill
    monkeypatch.setattr(os, "kill", lambda number, signal: None)
    monkeypatch.setattr(agent, "_PATIENCE", 0.01)
    monkeypatch.setattr(agent, "_CERTAINTY", 0.01)
    ask = agent._run
    monkeypatch.setattr(agent, "_run", lambda words, *rest: None if "--kill" in words else ask(words, *rest))
    with pytest.raises(GpgError) as caught:
        agent.stop(str(own_keys.home), own_keys.environ, process)
    assert str(caught.value) == f"gpg-agent (pid {process}) does not end; run: kill -9 {process}"
    kill(process, 0)


def test_an_agent_that_cannot_be_told(tmp_path: Path) -> None:
    program = tmp_path / "gpg-connect-agent"
    program.write_text("#!/bin/sh\necho ERR 1\n")
    program.chmod(0o755)
    with pytest.raises(GpgError) as caught:
        agent.limit(str(tmp_path), {"PATH": str(tmp_path)}, 5)
    assert str(caught.value) == "gpg-agent does not take its new settings; run: gpgconf --reload gpg-agent"
