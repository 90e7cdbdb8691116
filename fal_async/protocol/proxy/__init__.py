"""The decisions of a server-side proxy, without I/O: its rules, the target, the headers (protocol 10)."""
