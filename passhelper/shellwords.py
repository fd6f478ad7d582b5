"""Words for a POSIX shell, in the commands that we advise and in the scripts that we write."""


def word(path: str) -> str:
    """Quote a path for sh where that is needed: a command that we advise is to work as it stands."""
    if path and all(char.isalnum() or char in "/._-+@:," for char in path):
        return path
    return quoted(path)


def quoted(text: str) -> str:
    """Quote a text for sh, whatever it is."""
    return "'" + text.replace("'", "'\\''") + "'"


def operands(*texts: str) -> str:
    """Quote what a command is about: whoever names it like an option, such as ``--unbound``, is not obeyed."""
    words = " ".join(map(word, texts))
    return f"-- {words}" if any(text.startswith("-") for text in texts) else words
