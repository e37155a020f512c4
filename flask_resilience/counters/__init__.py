"""Counters in use: what limits are counted with, shared by all who count together."""
