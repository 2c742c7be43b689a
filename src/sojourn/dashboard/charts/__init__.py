"""Charts: from the JSON of the API to the options of ECharts. Pure functions."""
