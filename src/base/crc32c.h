/*
 * CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected; RFC 3720 appendix B.4 has test values).
 * Uses the processor's instruction where there is one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Continue `crc` (0 to start) over `size` bytes.  crc32c(crc32c(0, a), b) == crc32c(0, ab). */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/*
 * The checksum of each `block` bytes of `data`, one after the other, into `ret`; the last block may
 * be shorter.  What crc32c(0, ...) says of each, at up to three times its speed.
 */
void crc32c_blocks(const void *data, size_t size, size_t block, uint32_t *ret);
