"""The conformance check: its circuits, how their results are judged, and its report."""
