"""Video files and clips, and annotations of their frames."""
