"""Around the door: a wall in the process, the kernel's seal, and the gate of a sealed process."""
