"""Sift seeds of generators with torch, on a GPU or not."""
