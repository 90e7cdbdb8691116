"""What the requests of a batch cost, and `max_cost=`, which limits it. Amounts are exact, in US dollars."""
