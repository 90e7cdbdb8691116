"""`/_emulator`: control of the emulator over HTTP, and its page; each module has the routes of one subject."""
