"""Which store of MLflow an address means, and what is wrong with one."""
