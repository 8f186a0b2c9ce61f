"""Programs that measure what the README claims, each one command."""
