"""What a server-side proxy may pass on, decided without I/O: its rules, the target, the headers (protocol 10)."""
