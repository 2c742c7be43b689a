"""The sections of a configuration, one module each: their keys, limits, defaults and descriptions."""
