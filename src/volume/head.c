/*
 * Head: changes of the tree.  Each is checked against the head, recorded on the tape, then applied,
 * all under the lock: the order on the tape is the order in which things became true.
 */
#include "volume/internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static struct text text_of(const char *s)
{
	return (struct text){s, strlen(s)};
}

static int commit(struct volume *v, const struct change *change)
{
	struct tape_record record;

	return volume_commit(v, change, NULL, 0, &record);
}

static void attr_of(struct volume *v, uint64_t ino, struct volume_attr *ret)
{
	if (ret)
		inode_attr(state_inode(v->head.state, ino), ret);
}

static int find_directory(struct volume *v, uint64_t ino, struct inode **ret)
{
	*ret = state_inode(v->head.state, ino);
	if (!*ret)
		return -ESTALE;
	if (!S_ISDIR((*ret)->mode))
		return -ENOTDIR;
	/* A removed directory that somebody still stands in takes no new names. */
	return (*ret)->nlink ? 0 : -ENOENT;
}

static int find_file(struct volume *v, uint64_t ino, struct inode **ret)
{
	*ret = state_inode(v->head.state, ino);
	if (!*ret)
		return -ESTALE;
	if (S_ISDIR((*ret)->mode))
		return -EISDIR;
	return S_ISREG((*ret)->mode) ? 0 : -EINVAL;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int check_new_name(struct inode *directory, const char *name)
{
	size_t size = strlen(name);

	if (!size || strchr(name, '/'))
		return -EINVAL;
	if (size > VOLUME_NAME_MAX)
		return -ENAMETOOLONG;
	if (is_dots(name) || state_entry(directory, name, size))
		return -EEXIST;
	return 0;
}

static int find_entry(struct volume *v, struct inode *directory, const char *name,
		      struct entry **ret_entry, struct inode **ret)
{
	size_t size = strlen(name);

	if (size > VOLUME_NAME_MAX)
		return -ENAMETOOLONG;
	*ret_entry = state_entry(directory, name, size);
	if (!*ret_entry)
		return -ENOENT;
	*ret = state_inode(v->head.state, (*ret_entry)->ino);
	return 0;
}

/* --- Names ------------------------------------------------------------------------------------ */

static int create(struct volume *v, uint64_t parent, const char *name, const struct volume_new *new,
		  struct volume_attr *ret)
{
	struct change change = {.type = CHANGE_CREATE, .parent = parent, .name = text_of(name)};
	struct inode *directory;
	int r;

	r = find_directory(v, parent, &directory);
	if (r < 0)
		return r;
	r = check_new_name(directory, name);
	if (r < 0)
		return r;
	change.ino = v->timeline.next_ino;
	change.mode = new->mode;
	change.uid = new->uid;
	change.gid = new->gid;
	if (S_ISCHR(new->mode) || S_ISBLK(new->mode))
		change.rdev = new->rdev;
	if (S_ISLNK(new->mode))
		change.value = text_of(new->target);
	if (directory->mode & S_ISGID) {
		change.gid = directory->gid;
		change.mode |= S_ISDIR(new->mode) ? S_ISGID : 0;
	}
	r = commit(v, &change);
	if (r < 0)
		return r;
	attr_of(v, change.ino, ret);
	return 0;
}

int volume_create(struct volume *volume, uint64_t parent, const char *name,
		  const struct volume_new *new, struct volume_attr *ret)
{
	int r;

	if (S_ISLNK(new->mode) && (!new->target || !*new->target))
		return -ENOENT;
	if (S_ISLNK(new->mode) && strlen(new->target) > VOLUME_LINK_MAX)
		return -ENAMETOOLONG;
	CHANGE_HEAD(volume, r, create(volume, parent, name, new, ret));
	return r;
}

static int link_name(struct volume *v, uint64_t ino, uint64_t parent, const char *name,
		     struct volume_attr *ret)
{
	struct change change = {
		.type = CHANGE_LINK, .ino = ino, .parent = parent, .name = text_of(name)};
	struct inode *directory, *inode = state_inode(v->head.state, ino);
	int r;

	if (!inode)
		return -ESTALE;
	if (S_ISDIR(inode->mode))
		return -EPERM;
	if (!inode->nlink)
		return -ENOENT;
	if (inode->nlink == INT32_MAX)
		return -EMLINK;
	r = find_directory(v, parent, &directory);
	if (r < 0)
		return r;
	r = check_new_name(directory, name);
	if (r < 0)
		return r;
	r = commit(v, &change);
	if (r < 0)
		return r;
	attr_of(v, ino, ret);
	return 0;
}

int volume_link(struct volume *volume, uint64_t ino, uint64_t parent, const char *name,
		struct volume_attr *ret)
{
	int r;

	CHANGE_HEAD(volume, r, link_name(volume, ino, parent, name, ret));
	return r;
}

static bool is_known(struct volume *v, uint64_t ino)
{
	bool known;

	pthread_mutex_lock(&v->refs_lock);
	known = map64_get(&v->refs, ino);
	pthread_mutex_unlock(&v->refs_lock);
	return known;
}

/*
 * Let go of an inode that has no name and that nobody knows.  When the tape does not take the
 * record, the inode stays, unseen, until the volume is opened next.
 */
static void release_if_unknown(struct volume *v, uint64_t ino)
{
	struct inode *inode = state_inode(v->head.state, ino);

	if (inode && !inode->nlink && !is_known(v, ino))
		commit(v, &(struct change){.type = CHANGE_RELEASE, .ino = ino});
}

static int remove_name(struct volume *v, uint64_t parent, const char *name, bool want_directory)
{
	struct change change = {.type = CHANGE_UNLINK, .parent = parent, .name = text_of(name)};
	struct inode *directory, *inode;
	struct entry *entry;
	uint64_t ino;
	int r;

	r = find_directory(v, parent, &directory);
	if (r < 0)
		return r;
	if (is_dots(name))
		return want_directory ? (name[1] ? -ENOTEMPTY : -EINVAL) : -EISDIR;
	r = find_entry(v, directory, name, &entry, &inode);
	if (r < 0)
		return r;
	if (S_ISDIR(inode->mode) != want_directory)
		return want_directory ? -ENOTDIR : -EISDIR;
	if (want_directory && inode->directory.count)
		return -ENOTEMPTY;
	ino = inode->ino;
	r = commit(v, &change);
	if (r >= 0)
		release_if_unknown(v, ino);
	return r;
}

int volume_unlink(struct volume *volume, uint64_t parent, const char *name)
{
	int r;

	CHANGE_HEAD(volume, r, remove_name(volume, parent, name, false));
	return r;
}

int volume_rmdir(struct volume *volume, uint64_t parent, const char *name)
{
	int r;

	CHANGE_HEAD(volume, r, remove_name(volume, parent, name, true));
	return r;
}

/* `inode` is `directory` or one of those above it. */
static bool is_above(struct volume *v, const struct inode *inode, const struct inode *directory)
{
	while (directory && directory != inode && directory->ino != VOLUME_ROOT_INO)
		directory = state_inode(v->head.state, directory->directory.parent);
	return directory == inode;
}

/* Whether `inode` may take the place of `other`. */
static int check_replace(const struct inode *inode, const struct inode *other)
{
	if (S_ISDIR(inode->mode) && !S_ISDIR(other->mode))
		return -ENOTDIR;
	if (!S_ISDIR(inode->mode) && S_ISDIR(other->mode))
		return -EISDIR;
	if (S_ISDIR(other->mode) && other->directory.count)
		return -ENOTEMPTY;
	return 0;
}

static int check_rename(struct volume *v, const struct change *c, struct inode **ret_other)
{
	struct inode *from, *to, *inode, *other = NULL;
	struct entry *source, *target;
	int r;

	r = find_directory(v, c->parent, &from);
	if (r >= 0)
		r = find_directory(v, c->new_parent, &to);
	if (r < 0)
		return r;
	if (is_dots(c->name.at) || is_dots(c->new_name.at))
		return -EBUSY;
	r = find_entry(v, from, c->name.at, &source, &inode);
	if (r < 0)
		return r;
	r = find_entry(v, to, c->new_name.at, &target, &other);
	if (r == -ENAMETOOLONG)
		return r;
	*ret_other = r < 0 ? NULL : other;
	if (r == -ENOENT)
		return c->flags & RENAME_EXCHANGE                       ? -ENOENT
		       : S_ISDIR(inode->mode) && is_above(v, inode, to) ? -EINVAL
									: 0;
	if (c->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (inode == other)
		return 1;
	if ((S_ISDIR(inode->mode) && is_above(v, inode, to)) ||
	    (c->flags & RENAME_EXCHANGE && S_ISDIR(other->mode) && is_above(v, other, from)))
		return -EINVAL;
	return c->flags & RENAME_EXCHANGE ? 0 : check_replace(inode, other);
}

static int rename_name(struct volume *v, const struct change *change)
{
	struct inode *other;
	uint64_t replaced;
	int r;

	r = check_rename(v, change, &other);
	if (r) /* 1: two names of one file; nothing to do, says POSIX */
		return r < 0 ? r : 0;
	replaced = other && !(change->flags & RENAME_EXCHANGE) ? other->ino : 0;
	r = commit(v, change);
	if (r >= 0 && replaced)
		release_if_unknown(v, replaced);
	return r;
}

int volume_rename(struct volume *volume, uint64_t parent, const char *name, uint64_t new_parent,
		  const char *new_name, unsigned flags)
{
	struct change change = {
		.type = CHANGE_RENAME,
		.parent = parent,
		.new_parent = new_parent,
		.name = text_of(name),
		.new_name = text_of(new_name),
		.flags = flags,
	};
	int r;

	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE) || !*new_name)
		return -EINVAL;
	CHANGE_HEAD(volume, r, rename_name(volume, &change));
	return r;
}

/* --- Attributes and data ------------------------------------------------------------------------
 */

static int set_attr(struct volume *v, uint64_t ino, const struct volume_change *c,
		    struct volume_attr *ret)
{
	struct inode *inode = state_inode(v->head.state, ino);
	struct change change = {
		.type = CHANGE_SETATTR,
		.ino = ino,
		.set = c->set,
		.mode = c->mode,
		.uid = c->uid,
		.gid = c->gid,
		.size = c->size,
		.atime = c->atime,
		.mtime = c->mtime,
		.ctime = c->ctime,
	};
	int r;

	if (!inode)
		return -ESTALE;
	if (c->set & VOLUME_SET_SIZE) {
		r = find_file(v, ino, &inode);
		if (r < 0)
			return r;
		if (c->size > INT64_MAX)
			return -EFBIG;
	} else {
		change.size = 0;
	}
	r = c->set ? commit(v, &change) : 0;
	if (r < 0)
		return r;
	attr_of(v, ino, ret);
	return 0;
}

int volume_setattr(struct volume *volume, uint64_t ino, const struct volume_change *change,
		   struct volume_attr *ret)
{
	int r;

	CHANGE_HEAD(volume, r, set_attr(volume, ino, change, ret));
	return r;
}

static int write_data(struct volume *v, const struct change *change, const struct iovec *iov,
		      int iov_count)
{
	struct tape_record record;
	struct inode *inode;
	int r;

	r = find_file(v, change->ino, &inode);
	return r < 0 ? r : volume_commit(v, change, iov, iov_count, &record);
}

int volume_write(struct volume *volume, uint64_t ino, uint64_t offset, const struct iovec *iov,
		 int iov_count, bool drop_suid)
{
	struct change change = {
		.type = CHANGE_WRITE,
		.ino = ino,
		.offset = offset,
		.set = drop_suid ? VOLUME_DROP_SUID : 0,
	};
	int r;

	for (int i = 0; i < iov_count; i++)
		change.size += iov[i].iov_len;
	if (change.size > VOLUME_WRITE_MAX)
		return -EINVAL;
	if (offset > INT64_MAX || change.size > INT64_MAX - offset)
		return -EFBIG;
	if (!change.size)
		return 0;
	CHANGE_HEAD(volume, r, write_data(volume, &change, iov, iov_count));
	return r;
}

static int allocate(struct volume *v, const struct change *change)
{
	struct inode *inode;
	bool nothing;
	int r;

	r = find_file(v, change->ino, &inode);
	if (r < 0)
		return r;
	/* Space is the tape's; all there can be to do is to grow the file or to zero some of it. */
	nothing = !(change->flags & CHANGE_ZERO_DATA) &&
		  (!(change->flags & CHANGE_ZERO_GROW) ||
		   inode->size >= change->offset + change->size);
	return nothing ? 0 : commit(v, change);
}

int volume_fallocate(struct volume *volume, uint64_t ino, int mode, uint64_t offset, uint64_t size)
{
	struct change change = {.type = CHANGE_ZERO, .ino = ino, .offset = offset, .size = size};
	int what = mode & ~FALLOC_FL_KEEP_SIZE, r;

	if (what != 0 && what != FALLOC_FL_PUNCH_HOLE && what != FALLOC_FL_ZERO_RANGE)
		return -EOPNOTSUPP;
	if (what == FALLOC_FL_PUNCH_HOLE && !(mode & FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	if (!size || offset > INT64_MAX)
		return -EINVAL;
	if (size > INT64_MAX - offset)
		return -EFBIG;
	change.flags =
		(what ? CHANGE_ZERO_DATA : 0) | (mode & FALLOC_FL_KEEP_SIZE ? 0 : CHANGE_ZERO_GROW);
	CHANGE_HEAD(volume, r, allocate(volume, &change));
	return r;
}

static bool has_xattr(const struct inode *inode, const char *name)
{
	for (struct xattr *x = inode->xattrs; x; x = x->next)
		if (strcmp(x->name, name) == 0)
			return true;
	return false;
}

static int set_xattr(struct volume *v, const struct change *change, int flags)
{
	struct inode *inode = state_inode(v->head.state, change->ino);

	if (!inode)
		return -ESTALE;
	if (flags & XATTR_CREATE && has_xattr(inode, change->name.at))
		return -EEXIST;
	if (flags & XATTR_REPLACE && !has_xattr(inode, change->name.at))
		return -ENODATA;
	return commit(v, change);
}

int volume_setxattr(struct volume *volume, uint64_t ino, const char *name, const void *value,
		    size_t size, int flags)
{
	struct change change = {
		.type = CHANGE_SETXATTR, .ino = ino, .name = text_of(name), .value = {value, size}};
	int r;

	if (change.name.size > VOLUME_NAME_MAX || !change.name.size)
		return -ERANGE;
	if (size > VOLUME_XATTR_MAX)
		return -E2BIG;
	CHANGE_HEAD(volume, r, set_xattr(volume, &change, flags));
	return r;
}

static int remove_xattr(struct volume *v, const struct change *change)
{
	struct inode *inode = state_inode(v->head.state, change->ino);

	if (!inode)
		return -ESTALE;
	return has_xattr(inode, change->name.at) ? commit(v, change) : -ENODATA;
}

int volume_removexattr(struct volume *volume, uint64_t ino, const char *name)
{
	struct change change = {.type = CHANGE_REMOVEXATTR, .ino = ino, .name = text_of(name)};
	int r;

	CHANGE_HEAD(volume, r, remove_xattr(volume, &change));
	return r;
}

int volume_sync(struct volume *volume)
{
	if (volume->options.fleeting)
		return tape_broken(volume->tape);
	return tape_sync(volume->tape, UINT64_MAX);
}

/* --- Who is known outside
 * ------------------------------------------------------------------------- */

void volume_ref(struct volume *volume, uint64_t ino, uint64_t count)
{
	uintptr_t known;

	if (!count)
		return;
	pthread_mutex_lock(&volume->refs_lock);
	known = (uintptr_t)map64_get(&volume->refs, ino) + count;
	map64_put(&volume->refs, ino, (void *)known);
	pthread_mutex_unlock(&volume->refs_lock);
}

static bool is_orphan(struct volume *v, uint64_t ino)
{
	struct inode *inode;
	bool orphan;

	pthread_rwlock_rdlock(&v->lock);
	inode = state_inode(v->head.state, ino);
	orphan = inode && !inode->nlink;
	pthread_rwlock_unlock(&v->lock);
	return orphan;
}

void volume_unref(struct volume *volume, uint64_t ino, uint64_t count)
{
	uintptr_t known;

	pthread_mutex_lock(&volume->refs_lock);
	known = (uintptr_t)map64_get(&volume->refs, ino);
	known -= MIN(known, (uintptr_t)count);
	if (known)
		map64_put(&volume->refs, ino, (void *)known);
	else
		map64_remove(&volume->refs, ino);
	pthread_mutex_unlock(&volume->refs_lock);

	if (known || volume->options.read_only || !is_orphan(volume, ino))
		return;
	pthread_rwlock_wrlock(&volume->lock);
	release_if_unknown(volume, ino);
	pthread_rwlock_unlock(&volume->lock);
}
