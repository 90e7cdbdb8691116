"""`fal.map`: one endpoint, many inputs, each with its result or its error."""
