"""The calls we make."""
