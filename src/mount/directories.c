/*
 * Directories: reading them.  The cookies are the volume's: they stay good while the directory
 * changes, and across a rewind.
 */
#include "mount/handlers.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int op_opendir(struct request *req)
{
	struct fuse_open_out *out = request_out(req, sizeof *out);
	struct volume_attr attr;
	int r = view_getattr(req->mount->view, req->in.nodeid, &attr);

	if (r < 0)
		return r;
	return S_ISDIR(attr.mode) ? (int)sizeof *out : -ENOTDIR;
}

/* What is being filled: with or without room for an inode's attributes before each name. */
struct listing {
	uint8_t *data;
	size_t size, room;
	bool plus;
};

static void put_dirent(void *at, const struct volume_entry *entry, size_t namelen)
{
	struct fuse_dirent *dirent = at;

	dirent->ino = entry->ino;
	dirent->off = entry->cookie;
	dirent->namelen = namelen;
	dirent->type = (entry->type & S_IFMT) >> 12;
	memcpy(dirent->name, entry->name, namelen);
}

static int add_entry(const struct volume_entry *entry, void *arg)
{
	struct listing *listing = arg;
	size_t namelen = strlen(entry->name);
	size_t before = listing->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	size_t size = FUSE_DIRENT_ALIGN(before + namelen);
	uint8_t *at = listing->data + listing->size;

	if (size > listing->room - listing->size)
		return 1;
	memset(at, 0, size);
	put_dirent(at + (listing->plus ? offsetof(struct fuse_direntplus, dirent) : 0), entry,
		   namelen);
	listing->size += size;
	return 0;
}

static int list(struct request *req, struct listing *listing)
{
	const struct fuse_read_in *in = req->arg;

	listing->data = req->out;
	listing->room = MIN((size_t)in->size, req->out_room);
	return view_readdir(req->mount->view, req->in.nodeid, in->offset, add_entry, listing);
}

int op_readdir(struct request *req)
{
	struct listing listing = {0};
	int r = list(req, &listing);

	return r < 0 ? r : (int)listing.size;
}

static bool is_dot(const struct fuse_dirent *dirent)
{
	return dirent->name[0] == '.' &&
	       (dirent->namelen == 1 || (dirent->namelen == 2 && dirent->name[1] == '.'));
}

/*
 * The attributes are added when the volume's directory is no longer being read: its callback must
 * not call back. What went away in between stays an entry without attributes, which the kernel
 * looks up when it is used.
 */
static void add_attributes(struct request *req, struct fuse_direntplus *plus)
{
	char name[VOLUME_NAME_MAX + 1];
	struct volume_attr attr;

	if (is_dot(&plus->dirent) || view_getattr(req->mount->view, plus->dirent.ino, &attr) < 0)
		return;
	memcpy(name, plus->dirent.name, plus->dirent.namelen);
	name[plus->dirent.namelen] = '\0';
	rewind_note_name(req->mount, req->in.nodeid, name);
	entry_fill(req, &plus->entry_out, &attr);
}

int op_readdirplus(struct request *req)
{
	struct listing listing = {.plus = true};
	int r = list(req, &listing);

	if (r < 0)
		return r;
	for (size_t at = 0; at < listing.size;) {
		struct fuse_direntplus *plus = (void *)(listing.data + at);

		add_attributes(req, plus);
		at += FUSE_DIRENTPLUS_SIZE(plus);
	}
	return listing.size;
}
