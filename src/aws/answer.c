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

const struct aws_shape *aws_answer_value(const struct aws_shape *object, const char *name)
{
	const struct aws_member *member = object->type == AWS_MAP ? &aws_members[object->first + 1]
								  : aws_answer_member(object, name);

	return member ? aws_member_shape(member) : NULL;
}

const struct aws_shape *aws_answer_element(const struct aws_shape *array)
{
	/* Where the model wants none, only an empty one can be said. */
	return array->type == AWS_LIST ? aws_member_shape(&aws_members[array->first]) : array;
}
