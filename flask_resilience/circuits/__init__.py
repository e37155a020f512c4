"""Circuits in use: how one process steps the circuit that it shares with others."""
