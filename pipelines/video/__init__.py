"""Whole videos: read, find who is where, age them, write them again."""
