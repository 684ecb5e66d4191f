#include "mount/request.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int request_name(struct request *req, size_t max, const char **ret)
{
	size_t left = cursor_left(&req->rest);
	const char *name = (const char *)req->rest.at;
	size_t size = left ? strnlen(name, left) : 0;

	if (size == left || size == 0)
		return -EINVAL;
	if (size > max)
		return -ENAMETOOLONG;
	cursor_bytes(&req->rest, size + 1);
	*ret = name;
	return 0;
}

void *request_out(struct request *req, size_t size)
{
	assert(size <= req->out_room);
	return memset(req->out, 0, size);
}
