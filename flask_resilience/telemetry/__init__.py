"""One event in, every sink out."""
