"""Tables and figures of the data, and of what a network could cheat with."""
