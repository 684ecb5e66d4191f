/*
 * An image's body and a row of change records, from outside: either is refused or makes a state
 * that holds together.
 *
 * Input: le32 size of the body, the body (a header with the right checksum is put before it: what
 * is behind the checksum is to be tested, not the checksum), then records: le16 type, le16 size of
 * the meta, le32 size of the data, meta.
 */
#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "volume/format.h"
#include "volume/image.h"

#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t uuid[16] = "fuzz";

static int load(const void *body, size_t size, struct image *ret)
{
	CLEANUP(buffer) struct buffer bytes = {0};
	struct image_header header = {.version = to_le16(IMAGE_VERSION)};

	memcpy(header.magic, IMAGE_MAGIC, sizeof header.magic);
	memcpy(header.uuid, uuid, sizeof uuid);
	buffer_put(&bytes, &header, sizeof header);
	buffer_put(&bytes, body, size);
	image_seal(&bytes);
	return image_decode(uuid, bytes.data, bytes.size, 0, ret);
}

static void must_hold(const struct state *state)
{
	struct problem why;

	if (state_check(state, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		abort();
	}
}

static void apply_records(struct state *state, struct cursor *in)
{
	uint64_t lsn = 1;

	while (cursor_left(in) >= 8) {
		struct tape_record record = {.lsn = lsn++, .time_us = 1};
		struct change change;

		record.type = cursor_get16(in);
		record.meta_size = cursor_get16(in);
		record.data_size = cursor_get32(in) % (TAPE_DATA_MAX + 1);
		record.meta = cursor_bytes(in, record.meta_size);
		if (!record.meta)
			return;
		/* A change that does not fit is refused before it has changed anything. */
		if (change_decode(&record, &change) >= 0)
			state_apply(state, &change, record.lsn, record.time_us);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(image) struct image image = {0};
	struct cursor in;
	const void *body;
	uint32_t body_size;

	cursor_init(&in, data, size);
	body_size = cursor_get32(&in);
	body = cursor_bytes(&in, body_size);
	if (!body)
		return 0;
	if (load(body, body_size, &image) < 0) {
		image_done(&image);
		image.state = state_new(0, 0, 0755, 1);
	}
	must_hold(image.state);
	apply_records(image.state, &in);
	must_hold(image.state);
	return 0;
}
