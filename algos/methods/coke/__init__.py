"""CoKe: representations without labels."""
