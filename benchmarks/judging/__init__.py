"""What judges and panels do: agreement, cost, speed, faults. Each file is a command."""
