"""The promises of the package, each as a test or as a program.

`test_money`: nothing is paid twice. `test_cancellation`: a cancelled call cancels its remote request, once.
`test_connections`: lost connections, restarts and outages are survived. `test_state_machine`: random operations.

Two promises are programs, and tests on a small scale. `fault_matrix`: every fault with every operation; its cells
are in `fault_cases`. `soak`: thousands of calls with random faults; one run is in `soak_run`, its account in
`soak_account`.
"""
