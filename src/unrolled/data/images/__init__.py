"""Images, their classes and their captions."""
