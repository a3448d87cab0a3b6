"""Virtual machines by QEMU: one process a machine, restored from one that has booted already."""
