"""The version, which the build reads here too; ``passhelper.__version__`` is the same."""

__version__ = "0.1.0"
