"""The charts of a report: each a plotly figure with a sentence that says what it shows."""
