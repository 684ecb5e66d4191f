/* The source itself: whichever way this processor does not choose is tested too. */
#include "base/crc32c.c"
#include "tap.h"

#include <stdint.h>

/* RFC 3720, appendix B.4. */
static void the_published_values_come_out(void)
{
	uint8_t bytes[32];

	memset(bytes, 0, sizeof bytes);
	check(crc32c(0, bytes, 32) == 0x8a9136aa);
	memset(bytes, 0xff, sizeof bytes);
	check(crc32c(0, bytes, 32) == 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = i;
	check(crc32c(0, bytes, 32) == 0x46dd794e);
	for (int i = 0; i < 32; i++)
		bytes[i] = 31 - i;
	check(crc32c(0, bytes, 32) == 0x113fdb5c);
	check(crc32c(0, "123456789", 9) == 0xe3069283);
	check(crc32c(0, "", 0) == 0);
}

/* One bit at a time, as the polynomial says. */
static uint32_t slow_crc(const uint8_t *data, size_t size)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < size * 8; i++) {
		uint32_t bit = (crc ^ data[i / 8] >> i % 8) & 1;

		crc = crc >> 1 ^ (bit ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void every_size_and_alignment_agrees_with_the_definition(void)
{
	uint8_t bytes[100];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = i * 151 + 7;
	for (size_t at = 0; at < 9; at++)
		for (size_t size = 0; at + size <= sizeof bytes; size++) {
			check(crc32c(0, bytes + at, size) == slow_crc(bytes + at, size), "%zu %zu",
			      at, size);
			check(~update_by_table(~0u, bytes + at, size) == slow_crc(bytes + at, size),
			      "%zu %zu", at, size);
		}
}

static void parts_give_what_the_whole_gives(void)
{
	uint8_t bytes[50];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = i * 77;
	for (size_t cut = 0; cut <= sizeof bytes; cut++)
		check(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut) ==
		      crc32c(0, bytes, sizeof bytes));
}

static void blocks_get_the_checksums_that_they_have_alone(void)
{
	uint8_t bytes[200];
	uint32_t sums[201], in_turn[3];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = i * 59 + 3;
	for (size_t block = 1; block < 40; block++) {
		for (size_t size = 0; size <= sizeof bytes; size++) {
			memset(sums, 0xee, sizeof sums);
			crc32c_blocks(bytes, size, block, sums);
			for (size_t i = 0; i * block < size; i++)
				check(sums[i] == crc32c(0, bytes + i * block,
							MIN(block, size - i * block)),
				      "%zu %zu %zu", block, size, i);
			check(sums[(size + block - 1) / block] == 0xeeeeeeee, "%zu %zu", block,
			      size);
		}
		three_in_turn(bytes, block, in_turn);
		crc32c_blocks(bytes, 3 * block, block, sums);
		check(memcmp(sums, in_turn, sizeof in_turn) == 0, "%zu", block);
	}
}

int main(void)
{
	RUN(the_published_values_come_out);
	RUN(every_size_and_alignment_agrees_with_the_definition);
	RUN(parts_give_what_the_whole_gives);
	RUN(blocks_get_the_checksums_that_they_have_alone);
	return tap_done();
}
