"""Our own API, `/sojourn/v1`: a router per noun, put together in `app`. docs/api.md is its contract."""

PREFIX = "/sojourn/v1"
