"""Two runs beside each other: their settings, their curves, and which clusters of one became which of the other."""
