#include "volume/change.h"

#include "base/cursor.h"
#include "volume/volume.h"

#include <assert.h>
#include <errno.h>

static void put_text(struct buffer *meta, struct text text)
{
	buffer_put_string(meta, text.at, text.size);
}

/* Extended attributes may be 64 KiB: one more than a string's length can say. */
static void put_long_text(struct buffer *meta, struct text text)
{
	buffer_put32(meta, text.size);
	buffer_put(meta, text.at, text.size);
}

static void put_time(struct buffer *meta, const struct timespec *time)
{
	buffer_put64(meta, time->tv_sec);
	buffer_put32(meta, time->tv_nsec);
}

static void put_setattr(const struct change *c, struct buffer *meta)
{
	buffer_put64(meta, c->ino);
	buffer_put32(meta, c->set);
	buffer_put32(meta, c->mode);
	buffer_put32(meta, c->uid);
	buffer_put32(meta, c->gid);
	buffer_put64(meta, c->size);
	put_time(meta, &c->atime);
	put_time(meta, &c->mtime);
	put_time(meta, &c->ctime);
}

static void put_create(const struct change *c, struct buffer *meta)
{
	buffer_put64(meta, c->parent);
	buffer_put64(meta, c->ino);
	buffer_put32(meta, c->mode);
	buffer_put32(meta, c->uid);
	buffer_put32(meta, c->gid);
	buffer_put64(meta, c->rdev);
	put_text(meta, c->name);
	put_text(meta, c->value);
}

static void put_backtrack(const struct change *c, struct buffer *meta)
{
	buffer_put64(meta, c->number);
	buffer_put64(meta, c->target);
	buffer_put64(meta, c->target_time_us);
	buffer_put64(meta, c->asked_time_us);
	buffer_put64(meta, c->from_time_us);
	buffer_put64(meta, c->records);
}

void change_encode(const struct change *c, struct buffer *meta)
{
	switch (c->type) {
	case CHANGE_CREATE:
		put_create(c, meta);
		break;
	case CHANGE_LINK:
		buffer_put64(meta, c->ino);
		buffer_put64(meta, c->parent);
		put_text(meta, c->name);
		break;
	case CHANGE_UNLINK:
		buffer_put64(meta, c->parent);
		put_text(meta, c->name);
		break;
	case CHANGE_RENAME:
		buffer_put64(meta, c->parent);
		buffer_put64(meta, c->new_parent);
		buffer_put32(meta, c->flags);
		put_text(meta, c->name);
		put_text(meta, c->new_name);
		break;
	case CHANGE_WRITE:
		buffer_put64(meta, c->ino);
		buffer_put64(meta, c->offset);
		buffer_put32(meta, c->set);
		break;
	case CHANGE_SETATTR:
		put_setattr(c, meta);
		break;
	case CHANGE_ZERO:
		buffer_put64(meta, c->ino);
		buffer_put64(meta, c->offset);
		buffer_put64(meta, c->size);
		buffer_put32(meta, c->flags);
		break;
	case CHANGE_SETXATTR:
		buffer_put64(meta, c->ino);
		put_text(meta, c->name);
		put_long_text(meta, c->value);
		break;
	case CHANGE_REMOVEXATTR:
		buffer_put64(meta, c->ino);
		put_text(meta, c->name);
		break;
	case CHANGE_RELEASE:
		buffer_put64(meta, c->ino);
		break;
	case CHANGE_PURGE:
		break;
	case CHANGE_BACKTRACK:
		put_backtrack(c, meta);
		break;
	case CHANGE_MARK:
		put_text(meta, c->name);
		break;
	case CHANGE_TOOK:
		buffer_put64(meta, c->number);
		buffer_put64(meta, c->kill_us);
		buffer_put64(meta, c->rewind_us);
		buffer_put64(meta, c->start_us);
		break;
	}
}

/* --- And back --------------------------------------------------------------------------------- */

static struct text get_text(struct cursor *meta)
{
	struct text text;

	text.at = cursor_get_string(meta, &text.size);
	return text;
}

static struct text get_long_text(struct cursor *meta)
{
	struct text text = {.size = cursor_get32(meta)};

	text.at = cursor_bytes(meta, text.size);
	if (!text.at)
		text = (struct text){"", 0};
	return text;
}

static struct timespec get_time(struct cursor *meta)
{
	struct timespec time;

	time.tv_sec = cursor_get64(meta);
	time.tv_nsec = cursor_get32(meta);
	return time;
}

static void get_setattr(struct cursor *meta, struct change *c)
{
	c->ino = cursor_get64(meta);
	c->set = cursor_get32(meta);
	c->mode = cursor_get32(meta);
	c->uid = cursor_get32(meta);
	c->gid = cursor_get32(meta);
	c->size = cursor_get64(meta);
	c->atime = get_time(meta);
	c->mtime = get_time(meta);
	c->ctime = get_time(meta);
}

static void get_create(struct cursor *meta, struct change *c)
{
	c->parent = cursor_get64(meta);
	c->ino = cursor_get64(meta);
	c->mode = cursor_get32(meta);
	c->uid = cursor_get32(meta);
	c->gid = cursor_get32(meta);
	c->rdev = cursor_get64(meta);
	c->name = get_text(meta);
	c->value = get_text(meta);
}

static void get_backtrack(struct cursor *meta, struct change *c)
{
	c->number = cursor_get64(meta);
	c->target = cursor_get64(meta);
	c->target_time_us = cursor_get64(meta);
	c->asked_time_us = cursor_get64(meta);
	c->from_time_us = cursor_get64(meta);
	c->records = cursor_get64(meta);
}

static bool known_type(uint16_t type, struct cursor *meta, struct change *c)
{
	switch (type) {
	case CHANGE_CREATE:
		get_create(meta, c);
		return true;
	case CHANGE_LINK:
		c->ino = cursor_get64(meta);
		c->parent = cursor_get64(meta);
		c->name = get_text(meta);
		return true;
	case CHANGE_UNLINK:
		c->parent = cursor_get64(meta);
		c->name = get_text(meta);
		return true;
	case CHANGE_RENAME:
		c->parent = cursor_get64(meta);
		c->new_parent = cursor_get64(meta);
		c->flags = cursor_get32(meta);
		c->name = get_text(meta);
		c->new_name = get_text(meta);
		return true;
	case CHANGE_WRITE:
		c->ino = cursor_get64(meta);
		c->offset = cursor_get64(meta);
		c->set = cursor_get32(meta);
		return true;
	case CHANGE_SETATTR:
		get_setattr(meta, c);
		return true;
	case CHANGE_ZERO:
		c->ino = cursor_get64(meta);
		c->offset = cursor_get64(meta);
		c->size = cursor_get64(meta);
		c->flags = cursor_get32(meta);
		return true;
	case CHANGE_SETXATTR:
		c->ino = cursor_get64(meta);
		c->name = get_text(meta);
		c->value = get_long_text(meta);
		return true;
	case CHANGE_REMOVEXATTR:
		c->ino = cursor_get64(meta);
		c->name = get_text(meta);
		return true;
	case CHANGE_RELEASE:
		c->ino = cursor_get64(meta);
		return true;
	case CHANGE_PURGE:
		return true;
	case CHANGE_BACKTRACK:
		get_backtrack(meta, c);
		return true;
	case CHANGE_MARK:
		c->name = get_text(meta);
		return true;
	case CHANGE_TOOK:
		c->number = cursor_get64(meta);
		c->kill_us = cursor_get64(meta);
		c->rewind_us = cursor_get64(meta);
		c->start_us = cursor_get64(meta);
		return true;
	}
	return false;
}

int change_decode(const struct tape_record *record, struct change *ret)
{
	struct cursor meta;

	*ret = (struct change){.type = record->type};
	cursor_init(&meta, record->meta, record->meta_size);
	if (!known_type(record->type, &meta, ret) || !cursor_done(&meta))
		return -EBADMSG;
	if (ret->type == CHANGE_WRITE)
		ret->size = record->data_size;
	/* A file ends where signed offsets end. */
	if (ret->offset > INT64_MAX || ret->size > INT64_MAX - ret->offset)
		return -EBADMSG;
	return 0;
}
