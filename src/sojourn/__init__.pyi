# For type checkers only: what `__getattr__` of this package finds when it is asked.
from sojourn.connecting import connect as connect
from sojourn.connecting import local as local

__version__: str
