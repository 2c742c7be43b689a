"""The primitives as clients up to 0.27 send them: V1, whose circuits the server transpiles."""
