"""The time of an emulator: that of the machine, or a virtual one."""
