"""Benchmarks, one command each; speed is stated as a ratio within one run."""
