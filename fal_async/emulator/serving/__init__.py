"""What the emulator as a separate process adds: certificates, an access log, and endpoints of one's own."""
