"""The contract of every backend, as tests for pytest.

A backend's test module is a subclass::

    from passhelper.testing import HelperContract

    class TestVault(HelperContract):
        def make_helper(self):
            return VaultHelper()

That runs each law of ``contrib/conformance.md``, and random histories where Hypothesis is installed
(``pip install 'passhelper[testing]'`` brings both). Only servers below
:attr:`HelperContract.domain` are touched, so the place may hold other things, and all of them are erased.

A subclass narrows what its place cannot do by overriding the methods of :class:`Limits`: what is
refused must then be refused with an error and without a trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from passhelper.contract.laws import LAWS, Law
from passhelper.contract.place import LawBrokenError, Limits, NotApplicableError, Place
from passhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.credentials import Helper

__all__ = ["HelperContract", "LawBrokenError", "Limits"]

_STEPS = 12  # verbs in one history


class HelperContract(Limits):
    """Subclass this in a test module, with a name that begins with ``Test``."""

    skip_reason: str = ""
    """Why the place cannot be tested here; empty if it can. A property may find out."""

    persistent: bool = True
    """Whether another helper that :meth:`make_helper` makes finds what the first one stored."""

    domain: str = "passhelper-contract.invalid"
    """Every server that the tests touch is a host below this domain."""

    histories: int = 10
    """How many random histories are tried, of some twelve verbs each; 0 for none."""

    def make_helper(self) -> Helper:
        """Make a helper for the test's place; called several times. What it needs comes from autouse fixtures."""
        raise NotImplementedError

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        """The place, empty before and after."""
        if self.skip_reason:
            pytest.skip(self.skip_reason)
        place = Place(self.make_helper(), self.domain, self, self.make_helper if self.persistent else None)
        place.clean()  # what a run that was killed has left
        yield place
        left = place.clean()
        assert not left, f"still there, or not to be erased: {', '.join(map(printable, left))}"  # noqa: S101 - as in any test

    @pytest.mark.parametrize("law", LAWS, ids=[law.id for law in LAWS])
    def test_law(self, place: Place, law: Law) -> None:
        """Try to break one law."""
        try:
            law.check(place)
        except NotApplicableError:
            pass  # the subclass has said so

    def test_histories(self, place: Place) -> None:
        """Try to break the laws by one history after the other."""
        if not self.histories:
            return
        pytest.importorskip("hypothesis")
        from hypothesis import HealthCheck, settings  # noqa: PLC0415 - optional
        from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415

        from passhelper.contract import histories  # noqa: PLC0415

        def empty() -> Helper:
            place.clean()
            return place.helper

        members: dict[str, Any] = {
            "make": staticmethod(empty),
            "limits": self,
            "servers": histories.servers(self.domain),
            "domain": self.domain,
        }
        machine = type("History", (histories.Machine,), members)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=self.histories,
                stateful_step_count=_STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
