"""Long work that survives anything: a durable queue, and the processes that do it."""
