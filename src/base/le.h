/*
 * Little-endian: fixed-width integers as they are on disk.  The types are byte arrays, so that a
 * struct made of them has no padding and no alignment.
 */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

typedef struct {
	uint8_t b[2];
} le16;
typedef struct {
	uint8_t b[4];
} le32;
typedef struct {
	uint8_t b[8];
} le64;

#define DEFINE_LE(bits)                                        \
	static inline le##bits to_le##bits(uint##bits##_t v)   \
	{                                                      \
		le##bits r;                                    \
		v = htole##bits(v);                            \
		memcpy(&r, &v, sizeof r);                      \
		return r;                                      \
	}                                                      \
	static inline uint##bits##_t from_le##bits(le##bits r) \
	{                                                      \
		uint##bits##_t v;                              \
		memcpy(&v, &r, sizeof v);                      \
		return le##bits##toh(v);                       \
	}

DEFINE_LE(16)
DEFINE_LE(32)
DEFINE_LE(64)
