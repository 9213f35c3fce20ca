"""Messages of a queue become containers: docker-dispatch's contract, and what it lacked."""
