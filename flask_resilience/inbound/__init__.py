"""The calls we serve."""
