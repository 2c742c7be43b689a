"""Our own API, `/sojourn/v1`: the shapes are in models, the routes in app. docs/api.md is its contract."""
