"""An image."""
