"""The verbs for files in fal's storage: upload, download."""
