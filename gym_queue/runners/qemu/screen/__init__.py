"""The screen, mouse and keyboard of a virtual machine, from outside it."""
