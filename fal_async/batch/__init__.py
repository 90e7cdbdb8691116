"""`fal.map`: sends many inputs to one endpoint, and gives a result or an error for each of them."""
