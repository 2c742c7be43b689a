"""A server for the tests of Qiskit programs: its time can be moved on, and things go wrong when asked to.

The fixtures `sojourn` and `sojourn_service` of `sojourn.pytest_plugin` give it; `Sojourn` is the type of the
first. None of what is scripted here exists in `sojourn serve`: `sojourn.testing.server` is another program,
which only `ScriptedServer` starts, and it takes its orders from the process that started it and from nobody
else.
"""

from sojourn.testing.faults import Faults
from sojourn.testing.handle import Sojourn
from sojourn.testing.process import ScriptedServer, ScriptError

__all__ = ["Faults", "ScriptError", "ScriptedServer", "Sojourn"]
