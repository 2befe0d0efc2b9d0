"""Running the server: uvicorn in a thread, sockets, signals and processes."""
