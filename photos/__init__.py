"""Photos at the border of the app: reading untrusted files safely, writing results, their history."""
