"""Networks, their maths and their file formats. Nothing in here knows the app above it."""
