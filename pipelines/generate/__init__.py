"""Generating pictures by diffusion under guidance."""
