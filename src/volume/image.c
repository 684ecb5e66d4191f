#include "volume/image.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "volume/format.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

#define IMAGE_SIZE_MAX (UINT64_C(16) << 30)

static_assert(sizeof(struct extent) == 24, "an extent is stored as it is in memory");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "extents are stored as they are in memory");

void image_done(struct image *image)
{
	state_free(image->state);
	timeline_done(&image->timeline);
	buffer_done(&image->extra);
	*image = (struct image){0};
}

/* --- Encoding --------------------------------------------------------------------------------- */

static void put_time(struct buffer *out, struct timespec time)
{
	buffer_put64(out, time.tv_sec);
	buffer_put32(out, time.tv_nsec);
}

static void put_xattrs(struct buffer *out, const struct inode *inode)
{
	uint32_t count = 0;

	for (struct xattr *x = inode->xattrs; x; x = x->next)
		count++;
	buffer_put32(out, count);
	for (struct xattr *x = inode->xattrs; x; x = x->next) {
		buffer_put_string(out, x->name, strlen(x->name));
		buffer_put32(out, x->size);
		buffer_put(out, x->value, x->size);
	}
}

static void put_directory(struct buffer *out, const struct inode *inode)
{
	const struct directory *d = &inode->directory;

	buffer_put64(out, d->parent);
	buffer_put64(out, d->next_cookie);
	buffer_put64(out, d->count);
	for (size_t i = 0; i < d->cookie_count; i++) {
		const struct entry *entry = d->by_cookie[i].entry;

		if (!entry)
			continue;
		buffer_put64(out, entry->ino);
		buffer_put64(out, entry->cookie);
		buffer_put32(out, entry->type);
		buffer_put_string(out, entry->name, entry->name_size);
	}
}

static void put_inode(struct buffer *out, const struct inode *inode)
{
	buffer_put64(out, inode->ino);
	buffer_put64(out, inode->size);
	buffer_put64(out, inode->rdev);
	buffer_put32(out, inode->mode);
	buffer_put32(out, inode->nlink);
	buffer_put32(out, inode->uid);
	buffer_put32(out, inode->gid);
	put_time(out, inode->atime);
	put_time(out, inode->mtime);
	put_time(out, inode->ctime);
	put_xattrs(out, inode);
	if (S_ISDIR(inode->mode)) {
		put_directory(out, inode);
	} else if (S_ISLNK(inode->mode)) {
		buffer_put_string(out, inode->target, strlen(inode->target));
	} else {
		buffer_put64(out, inode->extents.count);
		extents_copy(&inode->extents,
			     buffer_extend(out, inode->extents.count * sizeof(struct extent)));
	}
}

void image_encode(const uint8_t uuid[16], uint64_t base, struct moment horizon,
		  const struct state *state, const struct timeline *timeline,
		  const struct buffer *extra, struct buffer *out)
{
	struct image_header header = {
		.version = to_le16(IMAGE_VERSION),
		.position = to_le64(state->position),
		.time_us = to_le64(state->time_us),
		.base = to_le64(base),
		.horizon_lsn = to_le64(horizon.lsn),
		.horizon_time_us = to_le64(horizon.time_us),
	};

	memcpy(header.magic, IMAGE_MAGIC, sizeof header.magic);
	memcpy(header.uuid, uuid, sizeof header.uuid);
	buffer_put(out, &header, sizeof header);
	timeline_encode(timeline, out);
	buffer_put64(out, state->inodes.count);
	state_for_each_inode (state, inode)
		put_inode(out, inode);
	buffer_put64(out, extra ? extra->size : 0);
	if (extra)
		buffer_put(out, extra->data, extra->size);
}

void image_seal(struct buffer *image)
{
	struct image_header *header = (struct image_header *)image->data;

	header->body_size = to_le64(image->size - sizeof *header);
	header->body_crc =
		to_le32(crc32c(0, image->data + sizeof *header, image->size - sizeof *header));
	header->crc = to_le32(crc32c(0, (uint8_t *)header + sizeof header->crc,
				     sizeof *header - sizeof header->crc));
}

/* --- Decoding --------------------------------------------------------------------------------- */

static struct timespec get_time(struct cursor *in)
{
	struct timespec time;

	time.tv_sec = cursor_get64(in);
	time.tv_nsec = cursor_get32(in);
	return time;
}

static void get_xattrs(struct cursor *in, struct inode *inode)
{
	uint32_t count = cursor_get32(in);

	for (uint32_t i = 0; i < count && cursor_ok(in); i++) {
		struct text name, value;

		name.at = cursor_get_string(in, &name.size);
		value.size = cursor_get32(in);
		value.at = cursor_bytes(in, value.size);
		if (value.at)
			inode_set_xattr(inode, name, value);
	}
}

static void get_directory(struct cursor *in, struct inode *inode)
{
	uint64_t count, least = FIRST_COOKIE, next;

	inode->directory.parent = cursor_get64(in);
	inode->directory.next_cookie = next = cursor_get64(in);
	count = cursor_get64(in);
	/* Cookies that do not ascend, or start over behind the last, list names without end. */
	if (next < FIRST_COOKIE || next > COOKIE_MAX)
		in->bad = true;
	for (uint64_t i = 0; i < count && cursor_ok(in); i++) {
		uint64_t ino = cursor_get64(in), cookie = cursor_get64(in);
		uint32_t type = cursor_get32(in);
		size_t size;
		const char *name = cursor_get_string(in, &size);

		if (cookie < least || cookie >= next)
			in->bad = true;
		if (!cursor_ok(in))
			return;
		state_add_entry(inode, name, size, ino, type, cookie);
		least = cookie + 1;
	}
}

static void get_extents(struct cursor *in, struct inode *inode, uint64_t drop_before)
{
	uint64_t count = cursor_get64(in), end = 0;

	for (uint64_t i = 0; i < count && cursor_ok(in); i++) {
		const void *bytes = cursor_bytes(in, sizeof(struct extent));
		struct extent e;

		if (!bytes)
			return;
		memcpy(&e, bytes, sizeof e);
		if (e.offset < end || extent_end(&e) <= e.offset) {
			in->bad = true;
			return;
		}
		end = extent_end(&e);
		if (extent_src(&e) >= drop_before)
			extents_append(&inode->extents, &e);
	}
}

static void get_inode(struct cursor *in, struct state *state, uint64_t drop_before)
{
	struct inode *inode = xcalloc(1, sizeof *inode);

	inode->ino = cursor_get64(in);
	inode->size = cursor_get64(in);
	inode->rdev = cursor_get64(in);
	inode->mode = cursor_get32(in);
	inode->nlink = cursor_get32(in);
	inode->uid = cursor_get32(in);
	inode->gid = cursor_get32(in);
	inode->atime = get_time(in);
	inode->mtime = get_time(in);
	inode->ctime = get_time(in);
	get_xattrs(in, inode);
	if (S_ISDIR(inode->mode)) {
		get_directory(in, inode);
	} else if (S_ISLNK(inode->mode)) {
		size_t size;
		const char *target = cursor_get_string(in, &size);

		inode->target = xcheck(strndup(target, size));
	} else {
		get_extents(in, inode, drop_before);
	}
	if (!inode->ino || state_inode(state, inode->ino)) {
		/* Only a forged image gets here. */
		in->bad = true;
		inode_free(inode);
		return;
	}
	state_add_inode(state, inode);
}

static int check_header(const struct image_header *header, const uint8_t uuid[16], size_t size)
{
	if (memcmp(header->magic, IMAGE_MAGIC, sizeof header->magic))
		return -EBADMSG;
	if (from_le16(header->version) > IMAGE_VERSION)
		return -EPROTONOSUPPORT;
	if (crc32c(0, (const uint8_t *)header + sizeof header->crc,
		   sizeof *header - sizeof header->crc) != from_le32(header->crc))
		return -EBADMSG;
	if (memcmp(header->uuid, uuid, sizeof header->uuid) ||
	    from_le64(header->body_size) != size - sizeof *header)
		return -EBADMSG;
	return 0;
}

static int decode_body(struct cursor *in, uint64_t drop_before, struct image *ret)
{
	uint64_t count, extra;
	const void *bytes;
	int r;

	r = timeline_decode(&ret->timeline, in);
	if (r < 0)
		return r;
	count = cursor_get64(in);
	for (uint64_t i = 0; i < count && cursor_ok(in); i++)
		get_inode(in, ret->state, drop_before);
	extra = cursor_get64(in);
	bytes = cursor_bytes(in, extra);
	if (bytes)
		buffer_put(&ret->extra, bytes, extra);
	return cursor_done(in) ? 0 : -EBADMSG;
}

int image_decode(const uint8_t uuid[16], const void *data, size_t size, uint64_t drop_before,
		 struct image *ret)
{
	const struct image_header *header = data;
	struct cursor in;
	int r;

	*ret = (struct image){.state = state_new_empty()};
	timeline_init(&ret->timeline);
	if (size < sizeof *header)
		return -EBADMSG;
	r = check_header(header, uuid, size);
	if (r < 0)
		return r;
	if (crc32c(0, header + 1, size - sizeof *header) != from_le32(header->body_crc))
		return -EBADMSG;
	ret->base = from_le64(header->base);
	ret->horizon.lsn = from_le64(header->horizon_lsn);
	ret->horizon.time_us = from_le64(header->horizon_time_us);
	ret->state->position = from_le64(header->position);
	ret->state->time_us = from_le64(header->time_us);
	cursor_init(&in, header + 1, size - sizeof *header);
	r = decode_body(&in, drop_before, ret);
	if (r >= 0 && !state_inode(ret->state, VOLUME_ROOT_INO))
		r = -EBADMSG;
	return r < 0 ? r : state_check(ret->state, NULL);
}

int image_load(struct disk *disk, const char *name, const uint8_t uuid[16], uint64_t drop_before,
	       struct image *ret)
{
	CLEANUP(free) void *data = NULL;
	size_t size;
	int r;

	*ret = (struct image){0};
	r = disk_read_file(disk, name, IMAGE_SIZE_MAX, &data, &size);
	if (r < 0)
		return r;
	return image_decode(uuid, data, size, drop_before, ret);
}
