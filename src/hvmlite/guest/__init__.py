"""The inside of a guest: where pieces lie, memory, page tables, segments, ACPI."""
