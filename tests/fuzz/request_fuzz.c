/* Any line on the control socket is a request within its limits, or refused with one line of text.
 */
#include "control/request.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_moment(const struct request_moment *moment)
{
	assert(moment->kind <= AT_MARK && moment->time_us >= 0 && moment->lsn <= INT64_MAX);
	assert(memchr(moment->mark, 0, sizeof moment->mark));
	assert(moment->kind != AT_MARK || moment->mark[0]);
}

static void check_request(const struct request *request)
{
	assert(request->what < REQUEST_COUNT);
	assert(request->window_us >= 0 && request->window_us <= REQUEST_WINDOW_MAX_US);
	assert(request->since_us >= -1 && request->until_us >= -1 && request->step_us >= 0);
	assert(request->asked_time_us >= 0);
	assert(memchr(request->name, 0, sizeof request->name));
	assert(request->what != REQUEST_MARK || request->name[0]);
	assert(memchr(request->directory, 0, sizeof request->directory));
	assert((request->what != REQUEST_EXPORT && request->what != REQUEST_IMPORT) ||
	       request->directory[0] == '/');
	check_moment(&request->moment);
	assert(memchr(request->kind, 0, sizeof request->kind));
	assert(json_is_object(request->input) == (request->what == REQUEST_JOB));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problem why = {""};
	struct request request;
	int r;

	r = request_parse((const char *)data, size, &request, &why);
	if (r == 0) {
		check_request(&request);
		request_done(&request);
	} else {
		assert((r == -EINVAL || r == -EPROTONOSUPPORT) && why.text[0]);
	}
	return 0;
}
