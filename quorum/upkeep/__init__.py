"""Looking after a cluster and a storage; the modules lie here because each would hide the function that has its name."""
