"""Files: uploads, downloads, who may read them, and the files in an input (protocol 7). Pure."""
