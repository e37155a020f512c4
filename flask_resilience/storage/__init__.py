"""Where shared state lives: circuits, read and compared and set, and counters, claimed of."""
