// SPDX-License-Identifier: MIT
// SHA-256: FIPS 180-4.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE	32
#define SHA256_BLOCK	64

struct sha256 {
	uint32_t state[8];
	uint64_t length;		// in bytes
	unsigned char block[SHA256_BLOCK];
};

void sha256_start(struct sha256 *sum);
void sha256_add(struct sha256 *sum, const unsigned char *data, size_t size);
void sha256_finish(struct sha256 *sum, unsigned char digest[SHA256_SIZE]);
