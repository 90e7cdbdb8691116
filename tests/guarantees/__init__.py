"""What the package promises, each promise as a test or as a program.

`test_money`: never pay twice. `test_cancellation`: who is cancelled cancels the remote request, once.
`test_connections`: lost connections, restarts and outages are survived. `test_state_machine`: random operations.

Two promises are programs, and tests in small. `fault_matrix`: every fault with every operation; its cells are in
`fault_cases`. `soak`: thousands of calls with random faults; one run is in `soak_run`, its books in `soak_account`.
"""
