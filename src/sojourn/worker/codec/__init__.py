"""The client's encodings of circuits, values, observables and results. No other module knows them."""
