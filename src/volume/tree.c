/* Tree: looking at a view: attributes, names, data. */
#include "volume/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

/* Pieces that one look under the lock resolves. */
#define PIECES_MAX 64

static void view_lock(struct view *view)
{
	if (view == &view->volume->head)
		pthread_rwlock_rdlock(&view->volume->lock);
}

static void view_unlock(struct view *view)
{
	if (view == &view->volume->head)
		pthread_rwlock_unlock(&view->volume->lock);
}

struct view *volume_head(struct volume *volume)
{
	return &volume->head;
}

int view_getattr(struct view *view, uint64_t ino, struct volume_attr *ret)
{
	struct inode *inode;

	view_lock(view);
	inode = state_inode(view->state, ino);
	if (inode)
		inode_attr(inode, ret);
	view_unlock(view);
	return inode ? 0 : -ESTALE;
}

static int lookup(struct state *state, uint64_t parent, const char *name, struct volume_attr *ret)
{
	struct inode *directory = state_inode(state, parent), *inode = directory;
	size_t size = strlen(name);
	struct entry *entry;

	if (!directory)
		return -ESTALE;
	if (!S_ISDIR(directory->mode))
		return -ENOTDIR;
	if (size > VOLUME_NAME_MAX)
		return -ENAMETOOLONG;
	if (strcmp(name, "..") == 0) {
		inode = state_inode(state, directory->directory.parent);
	} else if (strcmp(name, ".") != 0) {
		entry = state_entry(directory, name, size);
		inode = entry ? state_inode(state, entry->ino) : NULL;
	}
	if (!inode)
		return -ENOENT;
	inode_attr(inode, ret);
	return 0;
}

int view_lookup(struct view *view, uint64_t parent, const char *name, struct volume_attr *ret)
{
	int r;

	view_lock(view);
	r = lookup(view->state, parent, name, ret);
	view_unlock(view);
	return r;
}

int view_readlink(struct view *view, uint64_t ino, char target[VOLUME_LINK_MAX + 1])
{
	struct inode *inode;
	int r = 0;

	view_lock(view);
	inode = state_inode(view->state, ino);
	if (!inode)
		r = -ESTALE;
	else if (!S_ISLNK(inode->mode))
		r = -EINVAL;
	else
		snprintf(target, VOLUME_LINK_MAX + 1, "%s", inode->target);
	view_unlock(view);
	return r;
}

/* --- Data ------------------------------------------------------------------------------------- */

enum piece_kind { PIECE_TAPE, PIECE_BASE, PIECE_ZERO };

struct piece {
	enum piece_kind kind;
	uint64_t offset, size;
	uint64_t src;
	uint32_t skip;
};

/* What is at `offset` of the file, at most `size` bytes of it. */
static struct piece piece_at(const struct view *view, const struct inode *inode, uint64_t offset,
			     uint64_t size)
{
	struct piece piece = {.kind = PIECE_BASE, .offset = offset, .size = size};
	struct extent e;

	if (!extents_next(&inode->extents, offset, &e) || e.offset >= offset + size)
		return piece;
	if (e.offset > offset) {
		piece.size = e.offset - offset;
		return piece;
	}
	piece.size = MIN(size, extent_end(&e) - offset);
	/* Folded since this state was made: the base has it. */
	if (extent_src(&e) < view->volume->base_position)
		return piece;
	piece.kind = extent_is_zero(&e) ? PIECE_ZERO : PIECE_TAPE;
	piece.src = extent_src(&e);
	piece.skip = extent_is_zero(&e) ? 0 : e.skip + (offset - e.offset);
	return piece;
}

/*
 * The pieces that [offset, offset + size) of the file is made of, up to the end of the file or
 * PIECES_MAX of them.  Returns how many.
 */
static int resolve(struct view *view, uint64_t ino, uint64_t offset, uint64_t size,
		   struct piece *pieces)
{
	struct inode *inode = state_inode(view->state, ino);
	uint64_t end;
	int count = 0;

	if (!inode)
		return -ESTALE;
	if (!S_ISREG(inode->mode))
		return S_ISDIR(inode->mode) ? -EISDIR : -EINVAL;
	end = offset < inode->size ? offset + MIN(size, inode->size - offset) : offset;
	while (offset < end && count < PIECES_MAX) {
		struct piece *last = count ? &pieces[count - 1] : NULL;
		struct piece piece = piece_at(view, inode, offset, end - offset);

		offset += piece.size;
		if (last && last->kind == PIECE_BASE && piece.kind == PIECE_BASE)
			last->size += piece.size;
		else
			pieces[count++] = piece;
	}
	return count;
}

static int read_piece(struct volume *v, uint64_t ino, const struct piece *piece, void *out)
{
	struct problem why = {""};
	int r = 0;

	if (piece->kind == PIECE_ZERO)
		memset(out, 0, piece->size);
	else if (piece->kind == PIECE_BASE)
		r = base_read(v->base, ino, piece->offset, out, piece->size, &why);
	else
		r = tape_read(v->tape, piece->src, piece->skip, out, piece->size, &why);
	if (r < 0)
		volume_note_error(v, "inode %llu, bytes %llu to %llu cannot be read: %s",
				  (unsigned long long)ino, (unsigned long long)piece->offset,
				  (unsigned long long)(piece->offset + piece->size), why.text);
	return r < 0 ? -EIO : 0;
}

ssize_t view_read(struct view *view, uint64_t ino, uint64_t offset, void *buf, size_t size)
{
	struct volume *v = view->volume;
	struct piece pieces[PIECES_MAX];
	size_t done = 0;
	int count, r = 0;

	if (offset > INT64_MAX)
		return -EINVAL;
	size = MIN(size, (size_t)SSIZE_MAX);
	pthread_rwlock_rdlock(&v->base_lock);
	do {
		view_lock(view);
		count = resolve(view, ino, offset + done, size - done, pieces);
		view_unlock(view);
		for (int i = 0; i < count && r >= 0; i++) {
			r = read_piece(v, ino, &pieces[i], (uint8_t *)buf + done);
			done += pieces[i].size;
		}
	} while (count == PIECES_MAX && r >= 0);
	pthread_rwlock_unlock(&v->base_lock);
	return r < 0 ? r : count < 0 ? count : (ssize_t)done;
}

static bool is_data(struct volume *v, uint64_t ino, const struct piece *piece)
{
	return piece->kind == PIECE_TAPE ||
	       (piece->kind == PIECE_BASE &&
		base_may_have_data(v->base, ino, piece->offset, piece->size));
}

static int64_t seek(struct view *view, uint64_t ino, uint64_t offset, int whence)
{
	struct inode *inode = state_inode(view->state, ino);

	if (!inode)
		return -ESTALE;
	if (!S_ISREG(inode->mode) || (whence != SEEK_DATA && whence != SEEK_HOLE))
		return -EINVAL;
	if (offset >= inode->size)
		return -ENXIO;
	while (offset < inode->size) {
		struct piece piece = piece_at(view, inode, offset, inode->size - offset);

		if (is_data(view->volume, ino, &piece) == (whence == SEEK_DATA))
			return offset;
		offset += piece.size;
	}
	return whence == SEEK_HOLE ? (int64_t)inode->size : -ENXIO;
}

int64_t view_seek(struct view *view, uint64_t ino, uint64_t offset, int whence)
{
	int64_t r;

	pthread_rwlock_rdlock(&view->volume->base_lock);
	view_lock(view);
	r = seek(view, ino, offset, whence);
	view_unlock(view);
	pthread_rwlock_unlock(&view->volume->base_lock);
	return r;
}

/* --- Names ------------------------------------------------------------------------------------ */

static int read_entries(const struct inode *directory, uint64_t cookie,
			int (*fn)(const struct volume_entry *entry, void *arg), void *arg)
{
	struct volume_entry dot = {".", directory->ino, S_IFDIR, 1};
	struct volume_entry dots = {"..", directory->directory.parent, S_IFDIR, 2};
	struct entry *entry;

	if (cookie < 1 && fn(&dot, arg))
		return 0;
	if (cookie < 2 && fn(&dots, arg))
		return 0;
	while ((entry = state_entry_after(directory, MAX(cookie, (uint64_t)2)))) {
		struct volume_entry out = {entry->name, entry->ino, entry->type, entry->cookie};

		if (fn(&out, arg))
			return 0;
		cookie = entry->cookie;
	}
	return 0;
}

int view_readdir(struct view *view, uint64_t ino, uint64_t cookie,
		 int (*fn)(const struct volume_entry *entry, void *arg), void *arg)
{
	struct inode *inode;
	int r;

	view_lock(view);
	inode = state_inode(view->state, ino);
	if (!inode)
		r = -ESTALE;
	else if (!S_ISDIR(inode->mode))
		r = -ENOTDIR;
	else
		r = read_entries(inode, cookie, fn, arg);
	view_unlock(view);
	return r;
}

static ssize_t copy_out(void *buf, size_t room, const void *value, size_t size)
{
	if (!room)
		return size;
	if (room < size)
		return -ERANGE;
	if (size)
		memcpy(buf, value, size);
	return size;
}

ssize_t view_getxattr(struct view *view, uint64_t ino, const char *name, void *buf, size_t size)
{
	struct inode *inode;
	ssize_t r = -ENODATA;

	view_lock(view);
	inode = state_inode(view->state, ino);
	if (!inode)
		r = -ESTALE;
	for (struct xattr *x = inode ? inode->xattrs : NULL; x; x = x->next)
		if (strcmp(x->name, name) == 0)
			r = copy_out(buf, size, x->value, x->size);
	view_unlock(view);
	return r;
}

ssize_t view_listxattr(struct view *view, uint64_t ino, char *buf, size_t size)
{
	CLEANUP(buffer) struct buffer names = {0};
	struct inode *inode;

	view_lock(view);
	inode = state_inode(view->state, ino);
	for (struct xattr *x = inode ? inode->xattrs : NULL; x; x = x->next)
		buffer_put(&names, x->name, strlen(x->name) + 1);
	view_unlock(view);
	if (!inode)
		return -ESTALE;
	return copy_out(buf, size, names.data, names.size);
}

int view_space(struct view *view, struct volume_space *ret)
{
	struct volume *v = view->volume;
	struct disk_space space;
	struct tape_stats tape;
	uint64_t kept;
	int r;

	r = disk_space(v->disk, &space);
	if (r < 0)
		return r;
	tape_get_stats(v->tape, &tape);
	view_lock(view);
	ret->inodes = view->state->inodes.count;
	view_unlock(view);
	ret->bytes_total = space.bytes_total;
	/* History gives way to the live database; the last segments and half the reserve never do.
	 */
	kept = (LAST_SEGMENTS + SPARES_HELD) * v->segment_bytes + volume_reserve(v) / 2;
	ret->bytes_free = space.bytes_free + tape.bytes_on_disk;
	ret->bytes_free -= MIN(ret->bytes_free, kept);
	return 0;
}

int view_for_each_inode(struct view *view, int (*fn)(uint64_t ino, mode_t mode, void *arg),
			void *arg)
{
	int r = 0;

	view_lock(view);
	state_for_each_inode (view->state, inode)
		if (r == 0)
			r = fn(inode->ino, inode->mode, arg);
	view_unlock(view);
	return r;
}
