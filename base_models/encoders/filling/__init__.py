"""Fill a store: read the contents of clips, encode what is missing, and keep it."""
