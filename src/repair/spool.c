#include "repair/spool.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int spool_open(struct spool *spool, const char *directory, struct problem *why)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	*spool = (struct spool){0};
	if (fd < 0)
		return problem_errno(why, -errno, "cannot make a temporary file in '%s'",
				     directory);
	spool->file = xcheck(fdopen(fd, "w+"));
	return 0;
}

void spool_close(struct spool *spool)
{
	if (spool->file)
		fclose(spool->file);
	*spool = (struct spool){0};
}

static bool put_row(struct spool *spool, const struct row *row)
{
	uint8_t there = row != NULL;

	if (fwrite(&there, 1, 1, spool->file) != 1)
		return false;
	return !row || fwrite(row, row_bytes(row), 1, spool->file) == 1;
}

int spool_put(struct spool *spool, const struct pair *pair)
{
	if (!put_row(spool, pair->before) || !put_row(spool, pair->after))
		return -errno;
	spool->count++;
	return 0;
}

int spool_rewind(struct spool *spool)
{
	return fflush(spool->file) || fseek(spool->file, 0, SEEK_SET) ? -errno : 0;
}

static int get_row(struct spool *spool, struct row **ret)
{
	struct row head = {0}, *row;
	int there = fgetc(spool->file);

	*ret = NULL;
	if (there == EOF)
		return ferror(spool->file) ? -EIO : 0;
	if (!there)
		return 1;
	if (fread(&head, row_bytes(&head), 1, spool->file) != 1)
		return -EIO;
	row = xmalloc(row_bytes(&head));
	memcpy(row, &head, offsetof(struct row, data));
	if (head.size && fread(row->data, head.size, 1, spool->file) != 1) {
		free(row);
		return -EIO;
	}
	*ret = row;
	return 1;
}

int spool_get(struct spool *spool, struct pair *ret)
{
	struct pair pair = {0};
	int r;

	r = get_row(spool, &pair.before);
	if (r <= 0)
		return r;
	r = get_row(spool, &pair.after);
	if (r <= 0) {
		pair_done(&pair);
		return -EIO;
	}
	*ret = pair;
	return 1;
}
