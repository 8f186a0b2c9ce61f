"""Studies: what many runs of several seeds say of methods, kept such that every table can be redrawn."""
