"""What must not happen when something goes wrong: disks, power, memory, clocks, strangers and second runs."""
