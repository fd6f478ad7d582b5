"""What the tests share, by rooms; what most tests need is here at the door.

``worlds`` has keys and stores, ``people`` a team and its enemies, ``machines`` machines and servers, ``clients`` the
programs that call us, ``faults`` what goes wrong, and ``project`` what the project says of itself.
"""

from support.once import Once
from support.programs import GO_HELPER, NOT_FOUND, OLD_PIP, Answer, Helper, Program, run, script
from support.requirements import dockers, require, require_account, require_go_helper
from support.worlds.keys import PASSPHRASE, KeyRing
from support.worlds.stores import FOLDER, OWN_GIT, tree

__all__ = [
    "FOLDER",
    "GO_HELPER",
    "NOT_FOUND",
    "OLD_PIP",
    "OWN_GIT",
    "PASSPHRASE",
    "Answer",
    "Helper",
    "KeyRing",
    "Once",
    "Program",
    "dockers",
    "require",
    "require_account",
    "require_go_helper",
    "run",
    "script",
    "tree",
]
