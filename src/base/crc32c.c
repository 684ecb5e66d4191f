#include "base/crc32c.h"

#include "base/cleanup.h"

#include <pthread.h>
#include <string.h>

static uint32_t table[256];
static uint32_t (*update)(uint32_t crc, const uint8_t *data, size_t size);
static void (*three)(const uint8_t *data, size_t block, uint32_t ret[3]);
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

/* The instruction can begin each cycle, and takes three: so three blocks cost what one does. */
__attribute__((target("sse4.2"))) static void three_by_instruction(const uint8_t *data,
								   size_t block, uint32_t ret[3])
{
	uint64_t a = UINT32_MAX, b = UINT32_MAX, c = UINT32_MAX;
	size_t whole = ALIGN_DOWN(block, (size_t)8);

	for (const uint8_t *at = data; at < data + whole; at += 8) {
		uint64_t word[3];

		memcpy(&word[0], at, 8);
		memcpy(&word[1], at + block, 8);
		memcpy(&word[2], at + 2 * block, 8);
		a = __builtin_ia32_crc32di(a, word[0]);
		b = __builtin_ia32_crc32di(b, word[1]);
		c = __builtin_ia32_crc32di(c, word[2]);
	}
	ret[0] = ~update_by_instruction(a, data + whole, block - whole);
	ret[1] = ~update_by_instruction(b, data + block + whole, block - whole);
	ret[2] = ~update_by_instruction(c, data + 2 * block + whole, block - whole);
}
#endif

static void three_in_turn(const uint8_t *data, size_t block, uint32_t ret[3])
{
	for (int i = 0; i < 3; i++)
		ret[i] = ~update(~0u, data + i * block, block);
}

static void choose(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? 0x82f63b78 ^ (c >> 1) : c >> 1;
		table[i] = c;
	}
	update = update_by_table;
	three = three_in_turn;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2")) {
		update = update_by_instruction;
		three = three_by_instruction;
	}
#endif
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	pthread_once(&once, choose);
	return ~update(~crc, data, size);
}

void crc32c_blocks(const void *data, size_t size, size_t block, uint32_t *ret)
{
	const uint8_t *at = data;

	pthread_once(&once, choose);
	for (; size >= 3 * block; size -= 3 * block, at += 3 * block, ret += 3)
		three(at, block, ret);
	while (size > 0) {
		size_t n = MIN(size, block);

		*ret++ = ~update(~0u, at, n);
		at += n;
		size -= n;
	}
}
