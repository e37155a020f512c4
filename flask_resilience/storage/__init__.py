"""Where shared state lives: each storage offers read and compare-and-set, and knows no rules."""
