"""`fal.map`: sends many inputs to one endpoint, and yields an item with a result or an error for each."""
