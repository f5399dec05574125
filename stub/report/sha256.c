// SPDX-License-Identifier: MIT
#include "sha256.h"

// FIPS 180-4, 4.2.2.
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t value, int bits)
{
	return value >> bits | value << (32 - bits);
}

// 6.2.2
static void compress(struct sha256 *sum)
{
	uint32_t schedule[64], v[8];

	for (int t = 0; t < 16; t++) {
		const unsigned char *word = sum->block + 4 * t;

		schedule[t] = (uint32_t)word[0] << 24 | word[1] << 16 | word[2] << 8 | word[3];
	}
	for (int t = 16; t < 64; t++) {
		uint32_t x = schedule[t - 15], y = schedule[t - 2];

		schedule[t] = (rotated(y, 17) ^ rotated(y, 19) ^ y >> 10) + schedule[t - 7]
			+ (rotated(x, 7) ^ rotated(x, 18) ^ x >> 3) + schedule[t - 16];
	}
	for (int i = 0; i < 8; i++)
		v[i] = sum->state[i];
	for (int t = 0; t < 64; t++) {
		uint32_t a = v[0], e = v[4];
		uint32_t t1 = v[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25))
			+ ((e & v[5]) ^ (~e & v[6])) + constants[t] + schedule[t];
		uint32_t t2 = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22))
			+ ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

		for (int i = 7; i > 0; i--)
			v[i] = v[i - 1];
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		sum->state[i] += v[i];
}

void sha256_start(struct sha256 *sum)
{
	static const uint32_t initial[8] = {	// 5.3.3
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	for (int i = 0; i < 8; i++)
		sum->state[i] = initial[i];
	sum->length = 0;
}

void sha256_add(struct sha256 *sum, const unsigned char *data, size_t size)
{
	while (size--) {
		sum->block[sum->length++ % SHA256_BLOCK] = *data++;
		if (sum->length % SHA256_BLOCK == 0)
			compress(sum);
	}
}

// 5.1.1: a bit, zeros, and the length in bits.
void sha256_finish(struct sha256 *sum, unsigned char digest[SHA256_SIZE])
{
	static const unsigned char one = 0x80, zero;
	uint64_t bits = sum->length * 8;

	sha256_add(sum, &one, 1);
	while (sum->length % SHA256_BLOCK != SHA256_BLOCK - 8)
		sha256_add(sum, &zero, 1);
	for (int shift = 56; shift >= 0; shift -= 8) {
		unsigned char byte = bits >> shift;

		sha256_add(sum, &byte, 1);
	}
	for (int i = 0; i < SHA256_SIZE; i++)
		digest[i] = sum->state[i / 4] >> (24 - i % 4 * 8);
}
