"""Sojourn: a self-hosted quantum compute service with sessions, behind the qiskit-ibm-runtime protocol.

Importing this package is cheap: nothing of Qiskit, of the web server or of the database is imported
before it is used. `connect` and `local` are those of `sojourn.connecting`, loaded when they are asked for.
"""

__version__ = "0.1.0"

# By name, and not as an import: every part of the package imports this one, and none may get at those.
_LATER = {"connect": "sojourn.connecting", "local": "sojourn.connecting"}


def __getattr__(name: str) -> object:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER])
