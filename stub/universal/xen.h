/* What only Xen can be asked for. */
#ifndef UNIVERSAL_XEN_H
#define UNIVERSAL_XEN_H

#include "universal.h"

#pragma GCC visibility push(hidden)

/* Whether this is a guest of Xen, or its first domain. */
bool on_xen(void);
/* Writes at most `most` records of the domain's memory map; returns their number, 0 without one. */
u32 xen_memory_map(struct e820_entry *map, u32 most);

#pragma GCC visibility pop

#endif
