#include "base/buffer.h"
#include "tap.h"

static void bytes_are_kept_in_order_while_it_grows(void)
{
	CLEANUP(buffer) struct buffer buffer = {0};

	for (int i = 0; i < 5000; i++)
		buffer_put8(&buffer, i % 251);
	require(buffer.size == 5000 && buffer.room >= 5000);
	for (int i = 0; i < 5000; i++)
		check(buffer.data[i] == i % 251);
}

static void integers_are_little_endian(void)
{
	CLEANUP(buffer) struct buffer buffer = {0};

	buffer_put16(&buffer, 0x0201);
	buffer_put32(&buffer, 0x06050403);
	buffer_put64(&buffer, UINT64_C(0x0e0d0c0b0a090807));
	require(buffer.size == 14);
	for (int i = 0; i < 14; i++)
		check(buffer.data[i] == i + 1);
}

static void a_string_has_its_length_in_front(void)
{
	CLEANUP(buffer) struct buffer buffer = {0};

	buffer_put_string(&buffer, "abc", 3);
	buffer_put_string(&buffer, NULL, 0);
	check(buffer.size == 7 && memcmp(buffer.data, "\3\0abc\0\0", 7) == 0);
}

static void a_big_piece_fits_at_once(void)
{
	CLEANUP(buffer) struct buffer buffer = {0};
	uint8_t *at;

	buffer_put(&buffer, "x", 1);
	at = buffer_extend(&buffer, 1 << 20);
	memset(at, 'y', 1 << 20);
	check(at == buffer.data + 1 && buffer.size == (1 << 20) + 1 && buffer.data[0] == 'x');
}

static void it_is_empty_and_usable_after_done(void)
{
	struct buffer buffer = {0};

	buffer_put32(&buffer, 1);
	buffer_done(&buffer);
	check(buffer.size == 0 && buffer.data == NULL);
	buffer_put8(&buffer, 5);
	check(buffer.size == 1 && buffer.data[0] == 5);
	buffer_done(&buffer);
}

int main(void)
{
	RUN(bytes_are_kept_in_order_while_it_grows);
	RUN(integers_are_little_endian);
	RUN(a_string_has_its_length_in_front);
	RUN(a_big_piece_fits_at_once);
	RUN(it_is_empty_and_usable_after_done);
	return tap_done();
}
