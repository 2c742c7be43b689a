"""Our own API, `/sojourn/v1`: a module per noun, put together in `app`. docs/api.md is its contract."""

PREFIX = "/sojourn/v1"
