"""Running the server: uvicorn, sockets, signals and processes."""
