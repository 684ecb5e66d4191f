#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

static uint32_t table[256];
static uint32_t (*update)(uint32_t crc, const uint8_t *data, size_t size);
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t update_by_table(uint32_t crc, const uint8_t *data, size_t size)
{
	while (size--)
		crc = table[(crc ^ *data++) & 0xff] ^ (crc >> 8);
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
update_by_instruction(uint32_t crc, const uint8_t *data, size_t size)
{
	uint64_t wide = crc;

	for (; size >= 8; size -= 8, data += 8) {
		uint64_t word;

		memcpy(&word, data, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = wide;
	while (size--)
		crc = __builtin_ia32_crc32qi(crc, *data++);
	return crc;
}
#endif

static void choose(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? 0x82f63b78 ^ (c >> 1) : c >> 1;
		table[i] = c;
	}
	update = update_by_table;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		update = update_by_instruction;
#endif
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	pthread_once(&once, choose);
	return ~update(~crc, data, size);
}
