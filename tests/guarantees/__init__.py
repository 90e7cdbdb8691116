"""The promises of the package, each as a test or as a program.

`test_money`: nothing is paid twice. `test_cancellation`: a cancelled call cancels its request on fal, once.
`test_connections`: calls survive lost connections, restarts and outages. `test_state_machine`: random operations.

Two promises have a program, and tests that run a small version of it. `fault_matrix`: every fault with every
operation; its cells are in `fault_cases`. `soak`: thousands of calls with random faults; one run is in `soak_run`,
its account in `soak_account`.
"""
