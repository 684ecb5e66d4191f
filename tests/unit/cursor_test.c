#include "base/buffer.h"
#include "base/cursor.h"
#include "tap.h"

static void it_reads_what_a_buffer_was_given(void)
{
	CLEANUP(buffer) struct buffer buffer = {0};
	struct cursor cursor;
	const char *text;
	size_t size;

	buffer_put8(&buffer, 0xff);
	buffer_put16(&buffer, 0xfffe);
	buffer_put32(&buffer, 0xfffffffd);
	buffer_put64(&buffer, UINT64_C(0xfffffffffffffffc));
	buffer_put_string(&buffer, "text", 4);
	buffer_put(&buffer, "rest", 4);
	cursor_init(&cursor, buffer.data, buffer.size);
	check(cursor_get8(&cursor) == 0xff && cursor_get16(&cursor) == 0xfffe);
	check(cursor_get32(&cursor) == 0xfffffffd);
	check(cursor_get64(&cursor) == UINT64_C(0xfffffffffffffffc));
	text = cursor_get_string(&cursor, &size);
	check(size == 4 && memcmp(text, "text", 4) == 0);
	check(cursor_ok(&cursor) && !cursor_done(&cursor) && cursor_left(&cursor) == 4);
	check(memcmp(cursor_bytes(&cursor, 4), "rest", 4) == 0);
	check(cursor_done(&cursor));
}

static void reading_past_the_end_gives_zeros_and_stays_bad(void)
{
	struct cursor cursor;

	cursor_init(&cursor, "\1\2\3", 3);
	check(cursor_get32(&cursor) == 0 && !cursor_ok(&cursor));
	/* Also what would still fit. */
	check(cursor_get8(&cursor) == 0 && cursor_bytes(&cursor, 0) == NULL);
	check(!cursor_ok(&cursor) && !cursor_done(&cursor));
}

static void a_string_longer_than_what_is_left_is_bad(void)
{
	struct cursor cursor;
	size_t size = 77;

	cursor_init(&cursor, "\5\0abcd", 6);
	cursor_get_string(&cursor, &size);
	check(!cursor_ok(&cursor) && size == 0);
}

static void sizes_near_the_limit_do_not_wrap(void)
{
	struct cursor cursor;

	cursor_init(&cursor, "abc", 3);
	check(cursor_bytes(&cursor, SIZE_MAX) == NULL && !cursor_ok(&cursor));
}

static void nothing_is_done_at_once(void)
{
	struct cursor cursor;

	cursor_init(&cursor, "", 0);
	check(cursor_done(&cursor));
	check(cursor_get8(&cursor) == 0 && !cursor_done(&cursor));
}

int main(void)
{
	RUN(it_reads_what_a_buffer_was_given);
	RUN(reading_past_the_end_gives_zeros_and_stays_bad);
	RUN(a_string_longer_than_what_is_left_is_bad);
	RUN(sizes_near_the_limit_do_not_wrap);
	RUN(nothing_is_done_at_once);
	return tap_done();
}
