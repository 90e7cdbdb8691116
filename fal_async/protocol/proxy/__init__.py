"""What a server-side proxy may forward, decided without I/O: its rules, the target, the headers (protocol 10)."""
