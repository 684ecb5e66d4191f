#include "aws/answer.h"

#include "base/log.h"

#include <string.h>

const struct aws_member *aws_answer_member(const struct aws_shape *shape, const char *name)
{
	const struct aws_member *member = aws_member_find(shape, name, strlen(name));

	if (!member)
		log_error("an answer has '%s', which %s of the model does not", name,
			  aws_name(shape->name));
	return member;
}
