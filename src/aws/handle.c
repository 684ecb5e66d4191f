#include "aws/handle.h"

#include "aws/filters.h"
#include "aws/page.h"

static int finish(const struct aws_handler *handler, struct aws_call *call, json_t **answer)
{
	if (handler->filters)
		aws_filters_apply(call, handler->filters, answer);
	return handler->mark ? aws_page(call, handler->mark, answer) : 0;
}

int aws_handle(const struct aws_handler *handler, void *userdata, struct aws_call *call,
	       json_t **ret)
{
	int r = handler->filters ? aws_filters_check(call, handler->filters) : 0;

	if (r == 0)
		r = handler->handle(userdata, call, ret);
	return r == 0 ? finish(handler, call, ret) : r;
}
