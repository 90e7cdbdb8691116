"""Keyed calls. One key stands for one request, for all calls of this process, of other and of later processes."""
