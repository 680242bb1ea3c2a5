"""What the app can do, in plain Python: one layer under both the command line and the browser."""
