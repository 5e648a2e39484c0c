"""Measure the product beside what people write without it."""
