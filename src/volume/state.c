#include "volume/state.h"

#include "base/alloc.h"
#include "base/crc32c.h"

#include <errno.h>
#include <stdio.h> /* RENAME_* */
#include <sys/stat.h>

/* --- Directories ------------------------------------------------------------------------------ */

static size_t name_slot(const struct directory *d, const char *name, size_t size)
{
	size_t i = crc32c(0, name, size) & (d->name_room - 1);

	while (d->by_name[i] &&
	       (d->by_name[i]->name_size != size || memcmp(d->by_name[i]->name, name, size)))
		i = (i + 1) & (d->name_room - 1);
	return i;
}

static void grow_names(struct directory *d)
{
	struct entry **old = d->by_name;
	size_t room = d->name_room;

	d->name_room = room ? room * 2 : 8;
	d->by_name = xcalloc(d->name_room, sizeof *d->by_name);
	for (size_t i = 0; i < room; i++)
		if (old[i])
			d->by_name[name_slot(d, old[i]->name, old[i]->name_size)] = old[i];
	free(old);
}

void state_add_entry(struct inode *directory, const char *name, size_t size, uint64_t ino,
		     uint32_t type, uint64_t cookie)
{
	struct directory *d = &directory->directory;
	struct entry *entry = xmalloc(sizeof *entry + size + 1);

	*entry = (struct entry){.ino = ino, .cookie = cookie, .type = type, .name_size = size};
	memcpy(entry->name, name, size);
	entry->name[size] = 0;
	if (d->count * 2 >= d->name_room)
		grow_names(d);
	d->by_name[name_slot(d, name, size)] = entry;
	d->count++;
	xgrow(d->by_cookie, d->cookie_count, d->cookie_room);
	d->by_cookie[d->cookie_count++] = (struct entry_slot){cookie, entry};
	d->next_cookie = MAX(d->next_cookie, cookie + 1);
}

/* The first slot whose cookie is at least `cookie`. */
static size_t cookie_slot(const struct directory *d, uint64_t cookie)
{
	size_t low = 0, high = d->cookie_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (d->by_cookie[middle].cookie < cookie)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void squeeze_cookies(struct directory *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->cookie_count; i++)
		if (d->by_cookie[i].entry)
			d->by_cookie[kept++] = d->by_cookie[i];
	d->cookie_count = kept;
}

static void remove_entry(struct directory *d, struct entry *entry)
{
	size_t hole = name_slot(d, entry->name, entry->name_size), i;

	/* Close the gap in the hash table: see map64_remove(). */
	for (i = (hole + 1) & (d->name_room - 1); d->by_name[i]; i = (i + 1) & (d->name_room - 1)) {
		size_t home = crc32c(0, d->by_name[i]->name, d->by_name[i]->name_size) &
			      (d->name_room - 1);

		if (((i - home) & (d->name_room - 1)) < ((i - hole) & (d->name_room - 1)))
			continue;
		d->by_name[hole] = d->by_name[i];
		hole = i;
	}
	d->by_name[hole] = NULL;
	d->by_cookie[cookie_slot(d, entry->cookie)].entry = NULL;
	d->count--;
	free(entry);
	if (d->cookie_count > 16 && d->cookie_count > d->count * 2)
		squeeze_cookies(d);
}

struct entry *state_entry(const struct inode *directory, const char *name, size_t size)
{
	const struct directory *d = &directory->directory;

	return d->name_room ? d->by_name[name_slot(d, name, size)] : NULL;
}

struct entry *state_entry_after(const struct inode *directory, uint64_t cookie)
{
	const struct directory *d = &directory->directory;

	for (size_t i = cookie_slot(d, cookie + 1); i < d->cookie_count; i++)
		if (d->by_cookie[i].entry)
			return d->by_cookie[i].entry;
	return NULL;
}

static void directory_done(struct directory *d)
{
	for (size_t i = 0; i < d->cookie_count; i++)
		free(d->by_cookie[i].entry);
	free(d->by_cookie);
	free(d->by_name);
}

/* --- Inodes ----------------------------------------------------------------------------------- */

static void xattr_free(struct xattr *xattr)
{
	free(xattr->name);
	free(xattr->value);
	free(xattr);
}

void inode_free(struct inode *inode)
{
	if (S_ISDIR(inode->mode))
		directory_done(&inode->directory);
	else if (S_ISLNK(inode->mode))
		free(inode->target);
	else
		extents_done(&inode->extents);
	while (inode->xattrs) {
		struct xattr *next = inode->xattrs->next;

		xattr_free(inode->xattrs);
		inode->xattrs = next;
	}
	free(inode);
}

void inode_set_xattr(struct inode *inode, struct text name, struct text value)
{
	struct xattr **link = &inode->xattrs, *xattr;

	while (*link &&
	       (strlen((*link)->name) != name.size || memcmp((*link)->name, name.at, name.size)))
		link = &(*link)->next;
	xattr = *link;
	if (!xattr) {
		xattr = *link = xcalloc(1, sizeof *xattr);
		xattr->name = xcheck(strndup(name.at, name.size));
	}
	free(xattr->value);
	xattr->value = xmemdup(value.at, value.size);
	xattr->size = value.size;
}

static int remove_xattr(struct inode *inode, struct text name)
{
	for (struct xattr **link = &inode->xattrs; *link; link = &(*link)->next) {
		struct xattr *xattr = *link;

		if (strlen(xattr->name) != name.size || memcmp(xattr->name, name.at, name.size))
			continue;
		*link = xattr->next;
		xattr_free(xattr);
		return 0;
	}
	return -EUCLEAN;
}

void inode_attr(const struct inode *inode, struct volume_attr *ret)
{
	*ret = (struct volume_attr){
		.ino = inode->ino,
		.size = S_ISDIR(inode->mode) ? 4096 : inode->size,
		.mode = inode->mode,
		.nlink = inode->nlink,
		.uid = inode->uid,
		.gid = inode->gid,
		.rdev = inode->rdev,
		.atime = inode->atime,
		.mtime = inode->mtime,
		.ctime = inode->ctime,
	};
	ret->blocks = (ret->size + 511) / 512;
}

/* --- States ----------------------------------------------------------------------------------- */

struct state *state_new_empty(void)
{
	return xcalloc(1, sizeof(struct state));
}

static struct timespec from_us(int64_t time_us)
{
	return (struct timespec){time_us / 1000000, time_us % 1000000 * 1000};
}

static struct inode *new_inode(uint64_t ino, uint32_t mode, uint32_t uid, uint32_t gid,
			       int64_t time_us)
{
	struct inode *inode = xcalloc(1, sizeof *inode);

	inode->ino = ino;
	inode->mode = mode;
	inode->uid = uid;
	inode->gid = gid;
	inode->atime = inode->mtime = inode->ctime = from_us(time_us);
	inode->nlink = S_ISDIR(mode) ? 2 : 1;
	if (S_ISDIR(mode))
		inode->directory.next_cookie = FIRST_COOKIE;
	return inode;
}

struct state *state_new(uid_t uid, gid_t gid, mode_t mode, int64_t time_us)
{
	struct state *state = state_new_empty();
	struct inode *root =
		new_inode(VOLUME_ROOT_INO, S_IFDIR | (mode & 07777), uid, gid, time_us);

	root->directory.parent = VOLUME_ROOT_INO;
	state_add_inode(state, root);
	return state;
}

void state_add_inode(struct state *state, struct inode *inode)
{
	map64_put(&state->inodes, inode->ino, inode);
	if (S_ISREG(inode->mode))
		state->extents += inode->extents.count;
}

void state_free(struct state *state)
{
	if (!state)
		return;
	state_for_each_inode (state, inode)
		inode_free(inode);
	map64_done(&state->inodes);
	free(state);
}

struct inode *state_inode(const struct state *state, uint64_t ino)
{
	return map64_get(&state->inodes, ino);
}

static void drop_inode(struct state *state, struct inode *inode)
{
	if (S_ISREG(inode->mode))
		state->extents -= inode->extents.count;
	map64_remove(&state->inodes, inode->ino);
	inode_free(inode);
}

uint64_t state_memory(const struct state *state)
{
	uint64_t bytes = sizeof *state + state->inodes.room * sizeof(struct map64_slot);

	state_for_each_inode (state, inode) {
		bytes += sizeof *inode + 16;
		if (S_ISREG(inode->mode))
			bytes += extents_memory(&inode->extents);
		if (S_ISDIR(inode->mode))
			bytes += inode->directory.name_room * 8 +
				 inode->directory.cookie_room * 16 + inode->directory.count * 64;
	}
	return bytes;
}

/* A directory's links: its name, "." and each ".." below it. */
static int check_links(const struct inode *directory, uint64_t below, struct problem *why)
{
	if (directory->nlink == 2 + below ||
	    (!directory->nlink && directory->ino != VOLUME_ROOT_INO))
		return 0;
	return problem(why, -EBADMSG, "directory %llu has %llu links instead of %llu",
		       (unsigned long long)directory->ino, (unsigned long long)directory->nlink,
		       (unsigned long long)(2 + below));
}

static int count_names(const struct state *state, struct map64 *names, struct problem *why)
{
	struct entry *entry;

	state_for_each_inode (state, directory) {
		uint64_t below = 0;
		int r;

		for (uint64_t at = 0;
		     S_ISDIR(directory->mode) && (entry = state_entry_after(directory, at));
		     at = entry->cookie) {
			struct inode *inode = state_inode(state, entry->ino);
			uintptr_t count = (uintptr_t)map64_get(names, entry->ino) + 1;

			if (!inode || (inode->mode & S_IFMT) != entry->type)
				return problem(why, -EBADMSG,
					       "the name '%s' leads to inode %llu, which is %s",
					       entry->name, (unsigned long long)entry->ino,
					       inode ? "of another type" : "not there");
			if (!directory->nlink)
				return problem(why, -EBADMSG,
					       "directory %llu, which has no name, has '%s' in it",
					       (unsigned long long)directory->ino, entry->name);
			map64_put(names, entry->ino, (void *)count);
			below += S_ISDIR(inode->mode);
		}
		r = S_ISDIR(directory->mode) ? check_links(directory, below, why) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int state_check(const struct state *state, struct problem *why)
{
	struct map64 names = {0};
	int r = count_names(state, &names, why);

	state_for_each_inode (state, inode) {
		uintptr_t count = (uintptr_t)map64_get(&names, inode->ino);
		uintptr_t expected = S_ISDIR(inode->mode) ? inode->nlink > 0 : inode->nlink;

		if (inode->ino == VOLUME_ROOT_INO)
			expected = 0;
		if (r == 0 && count != expected)
			r = problem(why, -EBADMSG, "inode %llu has %llu names instead of %llu",
				    (unsigned long long)inode->ino, (unsigned long long)count,
				    (unsigned long long)expected);
	}
	map64_done(&names);
	return r;
}

/* --- Applying --------------------------------------------------------------------------------- */

/* One that has a name: else it is empty, and stays so. */
static struct inode *directory_of(struct state *state, uint64_t ino)
{
	struct inode *inode = state_inode(state, ino);

	return inode && S_ISDIR(inode->mode) && inode->nlink ? inode : NULL;
}

static bool has_names(const struct inode *inode)
{
	return S_ISDIR(inode->mode) && inode->directory.count;
}

static void touch_directory(struct inode *directory, int64_t time_us)
{
	directory->mtime = directory->ctime = from_us(time_us);
}

static void add_name(struct inode *directory, struct text name, struct inode *inode)
{
	state_add_entry(directory, name.at, name.size, inode->ino, inode->mode & S_IFMT,
			directory->directory.next_cookie);
	if (S_ISDIR(inode->mode)) {
		inode->directory.parent = directory->ino;
		directory->nlink++;
	}
}

/* The name goes; so does a directory, for nothing can be in it.  Files are orphans without names.
 */
static void drop_name(struct state *state, struct inode *directory, struct entry *entry,
		      int64_t time_us)
{
	struct inode *inode = state_inode(state, entry->ino);

	remove_entry(&directory->directory, entry);
	inode->ctime = from_us(time_us);
	if (S_ISDIR(inode->mode)) {
		directory->nlink--;
		inode->nlink = 0;
	} else {
		inode->nlink--;
	}
}

static int apply_create(struct state *state, const struct change *c, int64_t time_us)
{
	struct inode *parent = directory_of(state, c->parent), *inode;

	if (!parent || !c->ino || state_inode(state, c->ino) ||
	    state_entry(parent, c->name.at, c->name.size))
		return -EUCLEAN;
	inode = new_inode(c->ino, c->mode, c->uid, c->gid, time_us);
	inode->rdev = c->rdev;
	if (S_ISLNK(c->mode)) {
		inode->target = xcheck(strndup(c->value.at, c->value.size));
		inode->size = c->value.size;
	}
	state_add_inode(state, inode);
	add_name(parent, c->name, inode);
	touch_directory(parent, time_us);
	return 0;
}

static int apply_link(struct state *state, const struct change *c, int64_t time_us)
{
	struct inode *parent = directory_of(state, c->parent), *inode = state_inode(state, c->ino);

	if (!parent || !inode || S_ISDIR(inode->mode) ||
	    state_entry(parent, c->name.at, c->name.size))
		return -EUCLEAN;
	add_name(parent, c->name, inode);
	inode->nlink++;
	inode->ctime = from_us(time_us);
	touch_directory(parent, time_us);
	return 0;
}

static int apply_unlink(struct state *state, const struct change *c, int64_t time_us)
{
	struct inode *parent = directory_of(state, c->parent);
	struct entry *entry = parent ? state_entry(parent, c->name.at, c->name.size) : NULL;

	if (!entry || has_names(state_inode(state, entry->ino)))
		return -EUCLEAN;
	drop_name(state, parent, entry, time_us);
	touch_directory(parent, time_us);
	return 0;
}

static void point_entry(struct state *state, struct inode *directory, struct entry *entry,
			struct inode *inode, int64_t time_us)
{
	struct inode *old = state_inode(state, entry->ino);

	directory->nlink += S_ISDIR(inode->mode) - S_ISDIR(old->mode);
	entry->ino = inode->ino;
	entry->type = inode->mode & S_IFMT;
	if (S_ISDIR(inode->mode))
		inode->directory.parent = directory->ino;
	inode->ctime = from_us(time_us);
	touch_directory(directory, time_us);
}

static int apply_rename(struct state *state, const struct change *c, int64_t time_us)
{
	struct inode *from = directory_of(state, c->parent),
		     *to = directory_of(state, c->new_parent);
	struct entry *source = from ? state_entry(from, c->name.at, c->name.size) : NULL;
	struct entry *target = to ? state_entry(to, c->new_name.at, c->new_name.size) : NULL;
	struct inode *inode = source ? state_inode(state, source->ino) : NULL;
	struct inode *other = target ? state_inode(state, target->ino) : NULL;

	if (!inode || !to || source == target || (c->flags & RENAME_EXCHANGE && !target))
		return -EUCLEAN;
	if (other && has_names(other) && !(c->flags & RENAME_EXCHANGE))
		return -EUCLEAN;
	if (c->flags & RENAME_EXCHANGE) {
		point_entry(state, from, source, other, time_us);
		/* The first call has made `source` point to `other`; nlink of `to` counts from
		 * `target`. */
		point_entry(state, to, target, inode, time_us);
		return 0;
	}
	if (target)
		drop_name(state, to, target, time_us);
	from->nlink -= S_ISDIR(inode->mode) ? 1 : 0;
	remove_entry(&from->directory, source);
	add_name(to, c->new_name, inode);
	inode->ctime = from_us(time_us);
	touch_directory(from, time_us);
	touch_directory(to, time_us);
	return 0;
}

static void drop_suid(struct inode *inode)
{
	inode->mode &= ~S_ISUID;
	if (inode->mode & S_IXGRP)
		inode->mode &= ~S_ISGID;
}

static int apply_write(struct state *state, const struct change *c, uint64_t lsn, int64_t time_us)
{
	struct inode *inode = state_inode(state, c->ino);

	if (!inode || !S_ISREG(inode->mode))
		return -EUCLEAN;
	state->extents -= inode->extents.count;
	extents_set_data(&inode->extents, c->offset, c->size, lsn, 0);
	state->extents += inode->extents.count;
	inode->size = MAX(inode->size, c->offset + c->size);
	inode->mtime = inode->ctime = from_us(time_us);
	if (c->set & VOLUME_DROP_SUID)
		drop_suid(inode);
	return 0;
}

static void set_zero(struct state *state, struct inode *inode, uint64_t offset, uint64_t size,
		     uint64_t lsn)
{
	state->extents -= inode->extents.count;
	extents_set_zero(&inode->extents, offset, size, lsn);
	state->extents += inode->extents.count;
}

static int apply_zero(struct state *state, const struct change *c, uint64_t lsn, int64_t time_us)
{
	struct inode *inode = state_inode(state, c->ino);
	uint64_t end = c->offset + c->size;

	if (!inode || !S_ISREG(inode->mode))
		return -EUCLEAN;
	if (c->flags & CHANGE_ZERO_DATA && c->offset < inode->size)
		set_zero(state, inode, c->offset, MIN(end, inode->size) - c->offset, lsn);
	if (c->flags & CHANGE_ZERO_GROW)
		inode->size = MAX(inode->size, end);
	inode->mtime = inode->ctime = from_us(time_us);
	return 0;
}

static int set_size(struct state *state, struct inode *inode, uint64_t size, uint64_t lsn)
{
	if (!S_ISREG(inode->mode))
		return -EUCLEAN;
	/* What is cut off must read as zeros when the file grows again: also the base's part of it.
	 */
	if (size < inode->size)
		set_zero(state, inode, size, inode->size - size, lsn);
	inode->size = size;
	return 0;
}

static int apply_setattr(struct state *state, const struct change *c, uint64_t lsn, int64_t time_us)
{
	struct inode *inode = state_inode(state, c->ino);
	struct timespec now = from_us(time_us);

	if (!inode)
		return -EUCLEAN;
	if (c->set & VOLUME_SET_SIZE) {
		int r = set_size(state, inode, c->size, lsn);

		if (r < 0)
			return r;
		inode->mtime = now;
	}
	if (c->set & VOLUME_SET_MODE)
		inode->mode = (inode->mode & S_IFMT) | (c->mode & 07777);
	if (c->set & VOLUME_DROP_SUID)
		drop_suid(inode);
	if (c->set & VOLUME_SET_UID)
		inode->uid = c->uid;
	if (c->set & VOLUME_SET_GID)
		inode->gid = c->gid;
	if (c->set & (VOLUME_SET_ATIME | VOLUME_SET_ATIME_NOW))
		inode->atime = c->set & VOLUME_SET_ATIME_NOW ? now : c->atime;
	if (c->set & (VOLUME_SET_MTIME | VOLUME_SET_MTIME_NOW))
		inode->mtime = c->set & VOLUME_SET_MTIME_NOW ? now : c->mtime;
	inode->ctime = c->set & VOLUME_SET_CTIME ? c->ctime : now;
	return 0;
}

static int apply_xattr(struct state *state, const struct change *c, int64_t time_us)
{
	struct inode *inode = state_inode(state, c->ino);
	int r = 0;

	if (!inode)
		return -EUCLEAN;
	if (c->type == CHANGE_SETXATTR)
		inode_set_xattr(inode, c->name, c->value);
	else
		r = remove_xattr(inode, c->name);
	inode->ctime = from_us(time_us);
	return r;
}

static int apply_release(struct state *state, const struct change *c)
{
	struct inode *inode = state_inode(state, c->ino);

	if (!inode || inode->nlink)
		return -EUCLEAN;
	drop_inode(state, inode);
	return 0;
}

void state_purge(struct state *state)
{
	uint64_t *orphans = NULL;
	size_t count = 0, room = 0;

	state_for_each_inode (state, inode) {
		if (inode->nlink)
			continue;
		xgrow(orphans, count, room);
		orphans[count++] = inode->ino;
	}
	for (size_t i = 0; i < count; i++)
		drop_inode(state, state_inode(state, orphans[i]));
	free(orphans);
}

static int apply(struct state *state, const struct change *c, uint64_t lsn, int64_t time_us)
{
	switch (c->type) {
	case CHANGE_CREATE:
		return apply_create(state, c, time_us);
	case CHANGE_LINK:
		return apply_link(state, c, time_us);
	case CHANGE_UNLINK:
		return apply_unlink(state, c, time_us);
	case CHANGE_RENAME:
		return apply_rename(state, c, time_us);
	case CHANGE_WRITE:
		return apply_write(state, c, lsn, time_us);
	case CHANGE_SETATTR:
		return apply_setattr(state, c, lsn, time_us);
	case CHANGE_ZERO:
		return apply_zero(state, c, lsn, time_us);
	case CHANGE_SETXATTR:
	case CHANGE_REMOVEXATTR:
		return apply_xattr(state, c, time_us);
	case CHANGE_RELEASE:
		return apply_release(state, c);
	case CHANGE_PURGE:
	case CHANGE_BACKTRACK:
		state_purge(state);
		return 0;
	case CHANGE_MARK:
	case CHANGE_TOOK:
		return 0;
	}
	return -EUCLEAN;
}

int state_apply(struct state *state, const struct change *change, uint64_t lsn, int64_t time_us)
{
	int r = apply(state, change, lsn, time_us);

	if (r < 0)
		return r;
	/* One past the record's first byte includes it, wherever the next one begins. */
	state->position = lsn + 1;
	state->time_us = time_us;
	state->applied++;
	return 0;
}
